"""Puts the parts together and serves: the AWS API on 4566, instance metadata on 1338."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import warnings
from typing import Any

import docker.errors
import moto.ec2.models.amis as moto_amis
import moto.ec2.urls
import moto.ssm.urls
import moto.sts.urls
import requests
from moto.core.utils import get_service_model
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

from . import instances, metadata
from .commands import Commands
from .ec2 import LabEc2
from .engine import Engine
from .faults import Front
from .images import images
from .settings import ACCOUNT, API_PORT, ROLE, Settings
from .ssm import LabSsm
from .trust import LabSts


def create_role() -> None:
    """The role that hosts run with, as `skipper iam` describes it."""
    iam: Any = iam_backends[ACCOUNT]["aws"]
    grant = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        role_name=ROLE,
        assume_role_policy_document=json.dumps({"Version": "2012-10-17", "Statement": [grant]}),
        path="/",
        permissions_boundary=None,
        description="hosts of the lab",
        tags=[],
        max_session_duration="3600",
    )
    iam.create_instance_profile(ROLE, "/", [])
    iam.add_role_to_instance_profile(ROLE, ROLE)


def main() -> None:
    """Runs the lab's cloud until it is told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("botocore", "werkzeug"):  # a line for every poll
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # moto warns of every error code that botocore's models do not list; AWS answers many such.
    warnings.filterwarnings("ignore", message=".*does not match an error shape.*")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    settings = Settings.from_environment()
    engine = Engine(settings)
    instances.install(engine)
    LabSsm.commands = Commands(engine)
    moto_amis.AMIS = images()
    # The images of AWS itself: thousands, and none of them is asked for.
    moto_amis.load_resource = lambda *_: []  # type: ignore[attr-defined]
    moto.ec2.urls.url_paths["{0}/"] = LabEc2.dispatch
    moto.ssm.urls.url_paths["{0}/$"] = LabSsm.dispatch
    moto.sts.urls.url_paths["{0}/$"] = LabSts.dispatch
    create_role()

    def health() -> dict[str, Any]:
        try:
            engine.api.inspect_network(settings.network)
        except (docker.errors.DockerException, requests.RequestException) as error:
            return {"ready": False, "error": str(error)}
        return {"ready": True, "name": settings.name}

    # A service's model takes up to a second to load: before the port opens, so that no first call pays for it.
    for service in ("ec2", "ssm", "sts", "iam"):
        get_service_model(service)
    threading.Thread(target=engine.probe, name="probe", daemon=True).start()
    threading.Thread(target=metadata.serve, name="metadata", daemon=True).start()
    front = Front(DomainDispatcherApplication(create_backend_app), health)
    run_simple("0.0.0.0", API_PORT, front, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
