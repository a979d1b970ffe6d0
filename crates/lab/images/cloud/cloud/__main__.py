"""Puts the parts together and serves: the AWS API on 4566, instance metadata on 1338."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Any

# moto reads these when it is imported.
os.environ["MOTO_ACCOUNT_ID"] = "123456789012"
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "true"

import docker.errors
import moto.ec2.models.amis as moto_amis
import moto.ec2.urls
import moto.ssm.urls
import requests
from moto.ec2 import ec2_backends
from moto.iam import iam_backends
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


def create_role() -> None:
    """The role that hosts run with, as `skipper iam` describes it."""
    iam: Any = iam_backends[ACCOUNT]["aws"]
    trust = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
    iam.create_role(
        role_name=ROLE,
        assume_role_policy_document=trust,
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    settings = Settings.from_environment()
    engine = Engine(settings)
    instances.install(engine)
    LabSsm.commands = Commands(engine)
    moto_amis.AMIS = images()
    moto_amis.load_resource = lambda *_: []  # the images of AWS itself: thousands, and none of them is asked for
    moto.ec2.urls.url_paths["{0}/"] = LabEc2.dispatch
    moto.ssm.urls.url_paths["{0}/$"] = LabSsm.dispatch
    create_role()

    def health() -> dict[str, Any]:
        try:
            engine.api.inspect_network(settings.network)
        except (docker.errors.DockerException, requests.RequestException) as error:
            return {"ready": False, "error": str(error)}
        return {"ready": True, "name": settings.name}

    # The first call of a service loads its models, a second each: done before the port opens, so that it opens ready.
    dispatcher = DomainDispatcherApplication(create_backend_app)
    _ = ec2_backends[ACCOUNT]["us-east-1"]
    threading.Thread(target=engine.probe, name="probe", daemon=True).start()
    threading.Thread(target=metadata.serve, name="metadata", daemon=True).start()
    run_simple("0.0.0.0", API_PORT, Front(dispatcher, health), threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
