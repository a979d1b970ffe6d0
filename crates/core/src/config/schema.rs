//! The JSON Schema of `skipper.yml`, for editors: the keys come from their declarations in `raw`, the forms of their
//! values from here. Checks across keys are the reader's alone.

use std::{borrow::Cow, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use super::raw;

/// The schema as pretty JSON with a line break at the end: the contents of `schema/skipper.schema.json`.
pub fn json_schema() -> String {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut schema = generator.into_root_schema_for::<raw::File<'static>>();
    schema.insert("title".to_owned(), "skipper.yml".into());
    format!("{:#}\n", schema.to_value())
}

/// Doc comments as one text.
pub(super) fn prose(lines: &[&str]) -> Value {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").into()
}

/// Declares the form of a value.
macro_rules! forms {
    ($($name:ident $form:tt)*) => {$(
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($form)
            }
        }
    )*};
}

forms! {
    Text { "type": "string", "minLength": 1 }
    Name { "type": "string", "pattern": NAME, "maxLength": 32 }
    Region { "type": "string", "pattern": REGION }
    Regions {
        "type": "array",
        "minItems": 1,
        "uniqueItems": true,
        "items": { "type": "string", "pattern": REGION },
    }
    Account { "type": "string", "pattern": "^[0-9]{12}$" }
    Orchestrator { "type": "string", "enum": ["fleet"] }
    Scale { "type": "integer", "minimum": 0, "maximum": super::check::MOST_REPLICAS }
    AddressKind { "type": "string", "enum": ["elastic"] }
    PreviewHosts { "type": "string", "enum": ["own", "shared"] }
    PreviewCount { "type": "integer", "minimum": 1, "maximum": super::check::MOST_PREVIEWS }
    Retries { "type": "integer", "minimum": 1, "maximum": super::check::MOST_RETRIES }
    Disk { "type": "integer", "minimum": super::check::DISK.start(), "maximum": super::check::DISK.end() }
    PortNumber { "type": "integer", "minimum": 1, "maximum": 65535 }
    Ports {
        "type": "array",
        "items": { "anyOf": [
            { "type": "string", "pattern": "^([0-9]{1,5}:)?[0-9]{1,5}$" },
            { "type": "integer", "minimum": 1, "maximum": 65535 },
        ]},
    }
    HostPorts {
        "type": "array",
        "uniqueItems": true,
        "items": { "anyOf": [
            { "type": "string", "pattern": "^[0-9]{1,5}$" },
            { "type": "integer", "minimum": 1, "maximum": 65535 },
        ]},
    }
    Env {
        "type": "object",
        "propertyNames": { "pattern": VARIABLE },
        "additionalProperties": { "type": ["string", "integer", "number", "boolean", "null"] },
    }
    EnvName { "type": "string", "pattern": VARIABLE }
    SecretName { "type": "string", "pattern": VARIABLE, "maxLength": super::check::LONGEST_SECRET_NAME }
    FilePath { "type": "string", "pattern": "^(/[A-Za-z0-9._-]+)+$" }
    Volume { "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?:(/[A-Za-z0-9._-]+)+(:r[ow])?$" }
    Prices {
        "type": "object",
        "propertyNames": { "pattern": "^[a-z][a-z0-9-]*[0-9][a-z0-9-]*\\.[a-z0-9-]+$" },
        "additionalProperties": { "anyOf": [
            { "type": "string", "pattern": "^[0-9]{1,6}(\\.[0-9]{1,6})?$" },
            { "type": "number", "minimum": 0 },
        ]},
    }
    LogDriver { "type": "string", "pattern": "^[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?$", "maxLength": 128 }
    LogOptions {
        "type": "object",
        "propertyNames": { "pattern": "^[a-z0-9][a-z0-9_.-]*$", "maxLength": 64 },
        "additionalProperties": { "type": ["string", "integer", "number", "boolean"] },
    }
    Environments {
        "type": "object",
        "propertyNames": { "pattern": NAME, "maxLength": 32 },
        "additionalProperties": {
            "type": ["object", "null"],
            "propertyNames": { "not": { "enum": ["name", "previews", "environments"] } },
        },
    }
    Duration { "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$" }
    HttpPath { "type": "string", "pattern": "^/[!-~]*$" }
    Size { "type": "string", "pattern": "^[a-z][a-z0-9-]*[0-9][a-z0-9-]*\\.[a-z0-9-]+$" }
    Subnet { "type": "string", "pattern": "^subnet-[0-9a-f]{8,17}$" }
    Ami { "type": "string", "pattern": "^ami-[0-9a-f]{8,17}$" }
    Url { "type": "string", "pattern": "^https?://[!-~]+$" }
    Sha256 { "type": "string", "pattern": "^[0-9a-f]{64}$" }
}

const REGION: &str = "^[a-z]{2,}(-[a-z]+){1,2}-[0-9]{1,2}$";
const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
const NAME: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";

/// A map from names to sections.
pub(super) struct MapOf<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for MapOf<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": NAME, "maxLength": 32 },
            "additionalProperties": generator.subschema_for::<T>(),
        })
    }
}

/// One form or another.
pub(super) struct Either<A, B>(PhantomData<(A, B)>);

impl<A: JsonSchema, B: JsonSchema> JsonSchema for Either<A, B> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}Or{}", A::schema_name(), B::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [json!(generator.subschema_for::<A>()), json!(generator.subschema_for::<B>())] })
    }
}
