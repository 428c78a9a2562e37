"""Which classes train, validate and test: the `protocol` part of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sldml.parts import Part


class NtuOneShot(Part):
    """The official one-shot protocol of NTU RGB+D 120 (20 novel classes, one official exemplar each).

    `validation`: `development` holds out the development classes that the SL-DML authors suggest; `spread`
    holds out `num_validation` auxiliary classes at even distances.
    """

    name: Literal["ntu_one_shot"] = "ntu_one_shot"
    num_auxiliary: int = Field(100, ge=2, le=100)
    validation: Literal["development", "spread"] = "development"
    num_validation: int | None = Field(None, ge=2)


class UtdMhadOneShot(Part):
    """SL-DML's UTD-MHAD splits: classes a1..aN are auxiliary; exemplar: subject 1, trial 1.

    `num_novel`: how many of the last classes are novel; None takes every class that is not auxiliary.
    """

    name: Literal["utd_mhad_one_shot"] = "utd_mhad_one_shot"
    num_auxiliary: int = Field(11, ge=2, le=25)
    num_novel: int | None = Field(None, ge=2, le=25)
    num_validation: int | None = Field(None, ge=2)


ProtocolConfig = Annotated[NtuOneShot | UtdMhadOneShot, Field(discriminator="name")]
