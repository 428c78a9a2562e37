"""Which classes train, validate and test: the `protocol` part of a configuration.

A list of classes is a YAML list or one string with commas, so that `--set protocol.novel=jog,walk` can give it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sldml.config.parts import Choice, Part


def _split_at_commas(value: Any) -> Any:
    """`a1, a2` as two names; a class that YAML reads as a whole number is its digits."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list | tuple):
        return tuple(str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in value)
    return value


ClassNames = Annotated[tuple[str, ...], BeforeValidator(_split_at_commas)]
"""Names of classes."""


class NtuOneShot(Part):
    """The official one-shot protocol of NTU RGB+D 120 (20 novel classes, one official exemplar each).

    `num_auxiliary`: with fewer than 100, the first ones in order (own convention: no official lists were found).
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


class UtdMhadInterJoint(Part):
    """From the actions with the sensor on the wrist (a1–a21) to those with it on the thigh (a22–a27), or back.

    `equal_classes` (own reading of SL-DML's `equal_class_dist`): six classes on both sides, the first six of the
    auxiliary side or the last six of the novel one. Exemplar: subject 1, trial 1.
    """

    name: Literal["utd_mhad_inter_joint"] = "utd_mhad_inter_joint"
    train_on: Literal["wrist", "thigh"] = "wrist"
    equal_classes: bool = False
    num_validation: int | None = Field(None, ge=2)


class UtdMhadInterSensor(Part):
    """Train on one sensor's signals, recognise by the other's; needs `data.modality` fused, which holds both.

    Own reading, for the lists were not published: the classes are those of `UtdMhadOneShot` (a1..aN auxiliary, so
    that neither sensor has shown a novel class), validation is in the training sensor, and both the exemplars
    (subject 1, trial 1) and the queries are the other sensor's.
    """

    name: Literal["utd_mhad_inter_sensor"] = "utd_mhad_inter_sensor"
    train_on: Literal["inertial", "skeleton"] = "inertial"
    num_auxiliary: int = Field(11, ge=2, le=25)
    num_novel: int | None = Field(None, ge=2, le=25)
    num_validation: int | None = Field(None, ge=2)


class SimitateOneShot(Part):
    """SL-DML's Simitate splits: the first N of 26 classes are auxiliary (own convention: in sorted order).

    Published with N of 10, 14, 18, 22. `num_novel`: how many of the last classes are novel; None takes every
    class that is not auxiliary. Exemplar: a class's first recording by name (own convention).
    """

    name: Literal["simitate_one_shot"] = "simitate_one_shot"
    num_auxiliary: int = Field(14, ge=2, le=24)
    num_novel: int | None = Field(None, ge=2, le=24)
    num_validation: int | None = Field(None, ge=2)


class ImageFolderOneShot(Part):
    """What the folders of published images say: train, val, val_samples are auxiliary; test, samples are novel.

    `num_validation`: so many classes at even distances are held out where the folders hold out none.
    """

    name: Literal["image_folder"] = "image_folder"
    num_validation: int | None = Field(None, ge=2)


class SubjectExemplar(Part):
    """A class's exemplar is the first recording of one subject."""

    subject: str | None = None
    """None takes the first subject of all, in natural order."""


class TrialExemplar(Part):
    """A class's exemplar is the recording with one value in a column of the catalogue."""

    column: str = "trial"
    value: int | str = 1
    subject: str | None = None
    """Of this subject alone; None takes the first by name where there are several."""


class ListExemplar(Part):
    """A class's exemplar is named in a text file with two columns, `label,name`, and that first line."""

    file: str = "exemplars.csv"
    """Absolute, or from the folder in which the command runs."""


class ExemplarConfig(Choice):
    """Which recording of a novel class is its exemplar; `first`: its first one by name, in natural order."""

    name: Literal["first", "subject", "trial", "list"] = "first"
    subject: SubjectExemplar | None = None
    trial: TrialExemplar | None = None
    list: ListExemplar | None = None


class SpreadValidation(Part):
    """Hold out auxiliary classes at even distances."""

    num_classes: int | None = Field(None, ge=2)
    """None takes a quarter of them, but at least 3 and at most 20; of fewer than 6, subjects are held out."""


class ListValidation(Part):
    """Hold out these auxiliary classes."""

    classes: ClassNames = ()


class FoldValidation(Part):
    """Deal the auxiliary classes into folds and hold out one of them."""

    num_folds: int = Field(5, ge=2)
    fold: int = Field(0, ge=0)
    """From 0 on."""

    @model_validator(mode="after")
    def _one_of_the_folds(self) -> Self:
        if self.fold >= self.num_folds:
            raise ValueError(f"`fold < num_folds` must hold, but fold is {self.fold} and num_folds {self.num_folds}")
        return self


class ValidationConfig(Choice):
    """Which auxiliary classes are held out from training to choose by."""

    name: Literal["spread", "list", "folds"] = "spread"
    spread: SpreadValidation | None = None
    list: ListValidation | None = None
    folds: FoldValidation | None = None


class OneShot(Part):
    """One-shot recognition on any dataset, its classes in natural order (`a2` before `a10`).

    The first `num_auxiliary` classes, or those in `auxiliary`, train; the last `num_novel`, those in `novel`, or
    all others are recognised. With none of the four, seven tenths of the classes train.
    """

    name: Literal["one_shot"] = "one_shot"
    num_auxiliary: int | None = Field(None, ge=2)
    num_novel: int | None = Field(None, ge=2)
    auxiliary: ClassNames | None = None
    novel: ClassNames | None = None
    exemplar: ExemplarConfig = ExemplarConfig()
    validation: ValidationConfig = ValidationConfig()

    @model_validator(mode="after")
    def _a_number_or_a_list(self) -> Self:
        for side in ("auxiliary", "novel"):
            if getattr(self, side) is not None and getattr(self, f"num_{side}") is not None:
                raise ValueError(f"`{side}` names classes and `num_{side}` counts them: give one of the two")
        return self


ProtocolConfig = Annotated[
    NtuOneShot
    | UtdMhadOneShot
    | UtdMhadInterJoint
    | UtdMhadInterSensor
    | SimitateOneShot
    | ImageFolderOneShot
    | OneShot,
    Field(discriminator="name"),
]
