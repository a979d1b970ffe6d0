"""The machine images of the lab: some Flatcar releases under their real names and owner, and look-alikes."""

from __future__ import annotations

import hashlib
from typing import Any

FLATCAR = "075585003325"
SOMEBODY = "999988887777"

# (owner, name, architecture, created, state). Newest by date is not newest by name: a long-term release may be patched
# after a stable one, and other people copy names.
IMAGES = [
    (FLATCAR, "Flatcar-stable-4593.2.5-hvm", "x86_64", "2026-08-12", "available"),
    (FLATCAR, "Flatcar-stable-4593.2.5-arm64-hvm", "arm64", "2026-08-12", "available"),
    (FLATCAR, "Flatcar-stable-4593.2.1-hvm", "x86_64", "2026-06-10", "available"),
    (FLATCAR, "Flatcar-stable-4593.2.1-arm64-hvm", "arm64", "2026-06-10", "available"),
    (FLATCAR, "Flatcar-stable-4459.2.4-hvm", "x86_64", "2026-04-08", "available"),
    (FLATCAR, "Flatcar-stable-4459.2.4-arm64-hvm", "arm64", "2026-04-08", "available"),
    (FLATCAR, "Flatcar-stable-4593.2.6-hvm", "x86_64", "2026-08-20", "pending"),
    (FLATCAR, "Flatcar-lts-4081.3.9-hvm", "x86_64", "2026-08-14", "available"),
    (FLATCAR, "Flatcar-beta-4700.1.0-hvm", "x86_64", "2026-08-13", "available"),
    (FLATCAR, "Flatcar-alpha-4757.0.0-hvm", "x86_64", "2026-08-18", "available"),
    (SOMEBODY, "Flatcar-stable-9999.9.9-hvm", "x86_64", "2026-09-01", "available"),
    (SOMEBODY, "debian-12-amd64-20260801-2193", "x86_64", "2026-08-01", "available"),
]


def image_id(name: str) -> str:
    """The id of an image, the same in every lab and every region."""
    return "ami-" + hashlib.sha256(name.encode()).hexdigest()[:17]


def images() -> list[dict[str, Any]]:
    """The list in moto's own form."""
    return [
        {
            "ami_id": image_id(name),
            "name": name,
            "description": name,
            "owner_id": owner,
            "architecture": architecture,
            "creation_date": f"{created}T12:00:00.000Z",
            "state": state,
            "public": True,
            "image_location": f"{owner}/{name}",
            "image_type": "machine",
            "platform": None,
            "hypervisor": "xen",
            "virtualization_type": "hvm",
            "root_device_type": "ebs",
            "root_device_name": "/dev/xvda",
            "sriov": "simple",
        }
        for owner, name, architecture, created, state in IMAGES
    ]
