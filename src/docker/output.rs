//! A build's progress as plain lines, as `docker build --progress=plain` prints it.

use std::collections::{BTreeMap, VecDeque};

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};

/// Lines of the failing step that a failure shows.
const TAIL: usize = 20;
/// A line that is longer is broken, so that output without line ends takes no memory.
const LONGEST_LINE: usize = 8 * 1024;

/// One text without colours, control characters and what else a terminal or a runner would act on.
pub(super) fn plain(text: &str) -> String {
    let text = anstream::adapter::strip_str(text).to_string();
    text.trim_end().chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}

/// What is known of a running build.
#[derive(Default)]
pub(super) struct Progress {
    /// By BuildKit's digest of the vertex.
    steps: BTreeMap<String, Step>,
    /// The digest of the vertex that failed first.
    failed: Option<String>,
    tail: VecDeque<String>,
}

/// One vertex of BuildKit's graph: an instruction of the Dockerfile, or something internal.
#[derive(Default)]
struct Step {
    number: usize,
    name: String,
    is_announced: bool,
    is_over: bool,
    /// Output that has no line end yet.
    rest: Vec<u8>,
    tail: VecDeque<String>,
}

impl Progress {
    /// Takes the next report and passes its lines on.
    pub(super) fn take(&mut self, status: StatusResponse, output: &mut dyn FnMut(String)) {
        for vertex in &status.vertexes {
            self.announce(vertex, output);
        }
        for log in &status.logs {
            let step = step_of(&mut self.steps, &log.vertex);
            for line in step.lines(&log.msg) {
                remember(&mut step.tail, &line);
                let line = format!("#{} {line}", step.number);
                remember(&mut self.tail, &line);
                output(line);
            }
        }
        for vertex in &status.vertexes {
            self.conclude(vertex, output);
        }
    }

    fn announce(&mut self, vertex: &Vertex, output: &mut dyn FnMut(String)) {
        let step = step_of(&mut self.steps, &vertex.digest);
        if vertex.started.is_some() && !step.is_announced {
            step.is_announced = true;
            step.name = plain(&vertex.name.replace('\n', " "));
            output(format!("#{} {}", step.number, step.name));
        }
    }

    fn conclude(&mut self, vertex: &Vertex, output: &mut dyn FnMut(String)) {
        let step = step_of(&mut self.steps, &vertex.digest);
        let Some(completed) = vertex.completed.as_ref().filter(|_| !step.is_over) else { return };
        step.is_over = true;
        if let Some(line) = step.last_line() {
            remember(&mut step.tail, &line);
            output(format!("#{} {line}", step.number));
        }
        let number = step.number;
        let took = vertex.started.as_ref().map_or(0.0, |started| {
            (completed.seconds - started.seconds) as f64 + f64::from(completed.nanos - started.nanos) / 1e9
        });
        output(match vertex.error.as_str() {
            "" if vertex.cached => format!("#{number} CACHED"),
            "" => format!("#{number} DONE {took:.1}s"),
            // Another step failed first.
            error if error.contains("context canceled") => format!("#{number} CANCELED"),
            error => {
                self.failed.get_or_insert_with(|| vertex.digest.clone());
                format!("#{number} ERROR: {}", plain(error))
            }
        });
    }

    /// The name of the step that failed: `[2/4] RUN npm ci`.
    pub(super) fn failed_step(&self) -> Option<&str> {
        let step = self.steps.get(self.failed.as_ref()?)?;
        Some(&step.name).filter(|name| !name.is_empty()).map(String::as_str)
    }

    /// The last lines of the step that failed; of the whole build when it is not known which or when that one said nothing.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let failed = self.failed.as_ref().and_then(|digest| self.steps.get(digest)).map(|step| &step.tail);
        failed.filter(|tail| !tail.is_empty()).unwrap_or(&self.tail).iter().cloned().collect()
    }
}

impl Step {
    /// The whole lines there are after these bytes.
    fn lines(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self
            .rest
            .iter()
            .position(|byte| *byte == b'\n')
            .or_else(|| (self.rest.len() > LONGEST_LINE).then_some(LONGEST_LINE))
        {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            lines.push(shown(&line));
        }
        lines
    }

    fn last_line(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.rest);
        Some(shown(&rest)).filter(|line| !line.is_empty())
    }
}

/// What a terminal would show of a line in the end: a progress bar writes over itself with carriage returns.
fn shown(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(['\n', '\r']);
    plain(line.rsplit('\r').next().unwrap_or(line))
}

fn step_of<'a>(steps: &'a mut BTreeMap<String, Step>, digest: &str) -> &'a mut Step {
    let number = steps.len() + 1;
    steps.entry(digest.to_owned()).or_insert_with(|| Step { number, ..Step::default() })
}

fn remember(tail: &mut VecDeque<String>, line: &str) {
    if tail.len() == TAIL {
        tail.pop_front();
    }
    tail.push_back(line.to_owned());
}

#[cfg(test)]
mod tests {
    use bollard::moby::buildkit::v1::VertexLog;

    use super::*;

    /// A vertex that started at second 10 and, when given, ended so many seconds later.
    fn vertex(digest: &str, name: &str, took: Option<i64>, error: &str) -> Vertex {
        let mut vertex = Vertex { digest: digest.into(), name: name.into(), error: error.into(), ..Vertex::default() };
        vertex.started.get_or_insert_default().seconds = 10;
        if let Some(took) = took {
            vertex.completed.get_or_insert_default().seconds = 10 + took;
        }
        vertex
    }

    fn log(digest: &str, msg: &str) -> VertexLog {
        VertexLog { vertex: digest.into(), msg: msg.as_bytes().to_vec(), ..VertexLog::default() }
    }

    fn lines(progress: &mut Progress, vertexes: Vec<Vertex>, logs: Vec<VertexLog>) -> Vec<String> {
        let mut lines = Vec::new();
        progress.take(StatusResponse { vertexes, logs, ..StatusResponse::default() }, &mut |line| lines.push(line));
        lines
    }

    #[test]
    fn a_build_reads_like_dockers_plain_progress() {
        let mut progress = Progress::default();
        let waiting = Vertex { digest: "b".into(), name: "[2/2] RUN make".into(), ..Vertex::default() };
        assert_eq!(
            lines(&mut progress, vec![vertex("a", "[1/2] COPY . .", None, ""), waiting], vec![]),
            ["#1 [1/2] COPY . ."]
        );
        let copied = Vertex { cached: true, ..vertex("a", "[1/2] COPY . .", Some(0), "") };
        assert_eq!(lines(&mut progress, vec![copied.clone()], vec![]), ["#1 CACHED"]);
        assert_eq!(lines(&mut progress, vec![copied], vec![]), [""; 0], "a report that comes twice is shown once");
        assert_eq!(
            lines(
                &mut progress,
                vec![vertex("b", "[2/2] RUN make", None, "")],
                vec![log("b", "cc a.c\ncc "), log("b", "b.c\nld")]
            ),
            ["#2 [2/2] RUN make", "#2 cc a.c", "#2 cc b.c"]
        );
        assert_eq!(
            lines(&mut progress, vec![vertex("b", "[2/2] RUN make", Some(3), "")], vec![]),
            ["#2 ld", "#2 DONE 3.0s"]
        );
    }

    #[test]
    fn a_failure_shows_its_own_last_lines_and_not_those_of_other_steps() {
        let mut progress = Progress::default();
        let output: String = (1..=30).map(|n| format!("line {n}\n")).collect();
        lines(
            &mut progress,
            vec![vertex("a", "[a 1/1] RUN a", None, ""), vertex("b", "[b 1/1] RUN b", None, "")],
            vec![log("b", &output), log("a", "other\n")],
        );
        let last = lines(
            &mut progress,
            vec![
                vertex("a", "[a 1/1] RUN a", Some(1), "context canceled: context canceled"),
                vertex("b", "[b 1/1] RUN b", Some(1), "exit code: 1"),
            ],
            vec![],
        );
        assert_eq!(last, ["#1 CANCELED", "#2 ERROR: exit code: 1"]);
        assert_eq!(progress.failed_step(), Some("[b 1/1] RUN b"));
        let tail = progress.last_lines();
        assert_eq!((tail.len(), tail[0].as_str(), tail[19].as_str()), (20, "line 11", "line 30"));
    }

    #[test]
    fn hostile_output_loses_what_a_terminal_would_act_on() {
        let mut progress = Progress::default();
        let hostile = "\x1b[31mred\x1b[0m\tand\x07 \u{9b}bell\r\n 10%\r 50%\r100%\r\n\x1b]0;title\x07end\n\u{fffd}";
        let lines =
            lines(&mut progress, vec![vertex("a", "RUN \x1b[1mx\n::add-mask::y", None, "")], vec![log("a", hostile)]);
        assert_eq!(lines, ["#1 RUN x ::add-mask::y", "#1 red and bell", "#1 100%", "#1 end"]);
    }

    #[test]
    fn output_without_line_ends_is_broken_into_lines() {
        let mut progress = Progress::default();
        let lines =
            lines(&mut progress, vec![vertex("a", "RUN yes", None, "")], vec![log("a", &"y".repeat(3 * LONGEST_LINE))]);
        assert_eq!(lines.len(), 3);
        assert!(progress.steps["a"].rest.len() <= LONGEST_LINE);
    }
}
