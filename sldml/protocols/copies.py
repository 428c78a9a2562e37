"""Recordings that are on both sides of a split under different names."""

import pandas as pd

from sldml.protocols.classes import ProtocolError
from sldml.protocols.split import Development, Sealed


def require_no_copies(catalog: pd.DataFrame, development: Development, sealed: Sealed) -> None:
    """Check that no recording of the test is known from training or validation, by the digests of the catalogue.

    Raises:
        ProtocolError: two recordings have the same values.
    """
    if "digest" not in catalog:
        return
    digest_of = dict(zip(catalog["name"], catalog["digest"], strict=True))
    known = {digest_of[name]: name for side in (development.train, development.validation) for name in side.names}
    for name in (*sealed.exemplars.names, *sealed.queries.names):
        if (copy := known.get(digest_of[name])) is not None:
            raise ProtocolError(
                f"{name} of a novel class has the same values as {copy} of an auxiliary class: remove one of the two "
                "files, or correct the labels"
            )
