"""Prints the path of each field that deploy/ sets in a custom resource, for extract.mjs."""

from tests.support.chart import custom_resources
from tests.support.custom_resources import fields_of

if __name__ == "__main__":
    print("\n".join(sorted({path for manifest in custom_resources() for path in fields_of(manifest)})))
