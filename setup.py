"""What pyproject.toml cannot say: folders at the top level that are installed inside the package."""

from setuptools import find_packages, setup

BESIDE = ("analysis", "locustfiles", "samples")

setup(
    packages=[
        *find_packages(include=["coldburst", "coldburst.*"]),
        *(f"coldburst.{name}" for name in (*BESIDE, "locustfiles.examples", *find_packages(include=["analysis.*"]))),
    ],
    package_dir={f"coldburst.{name}": name for name in BESIDE},
    package_data={"": ["*.json", "*.toml", "templates/*", "static/*", "static/uplot/*", "*.wav", "*.csv"]},
)
