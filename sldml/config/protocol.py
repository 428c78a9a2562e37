"""The classes for training, validation and test: the `protocol` part of a configuration.

A list of classes is a YAML list or one string with commas, as in `--set protocol.novel=jog,walk`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sldml.config.parts import BranchedPart, Part


def _split_at_commas(value: Any) -> Any:
    """Split `a1, a2` into two names; class names that YAML reads as numbers become strings."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list | tuple):
        return tuple(str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in value)
    return value


ClassNames = Annotated[tuple[str, ...], BeforeValidator(_split_at_commas)]
"""Names of classes."""


class NtuOneShot(Part):
    """The official one-shot protocol of NTU RGB+D 120 (20 novel classes, one official exemplar each).

    `num_auxiliary`: with fewer than 100, the first ones in order (own convention, as no official lists were found).
    `validation`: `development` holds out the development classes that the SL-DML authors suggest; `spread`
    holds out `num_validation` auxiliary classes at even distances.
    """

    name: Literal["ntu_one_shot"] = "ntu_one_shot"
    num_auxiliary: int = Field(100, ge=2, le=100)
    validation: Literal["development", "spread"] = "development"
    num_validation: int | None = Field(None, ge=2)


class UtdMhadOneShot(Part):
    """SL-DML's UTD-MHAD splits: classes a1..aN are auxiliary; exemplar: subject 1, trial 1.

    `num_novel`: number of the last classes that are novel; None takes all that are not auxiliary.
    """

    name: Literal["utd_mhad_one_shot"] = "utd_mhad_one_shot"
    num_auxiliary: int = Field(11, ge=2, le=25)
    num_novel: int | None = Field(None, ge=2, le=25)
    num_validation: int | None = Field(None, ge=2)


class UtdMhadInterJoint(Part):
    """From the actions with the sensor on the wrist (a1–a21) to those with it on the thigh (a22–a27), or back.

    `equal_classes` (own interpretation of SL-DML's `equal_class_dist`): six classes on both sides, the first six of the
    auxiliary side or the last six of the novel one. Exemplar: subject 1, trial 1.
    """

    name: Literal["utd_mhad_inter_joint"] = "utd_mhad_inter_joint"
    train_on: Literal["wrist", "thigh"] = "wrist"
    equal_classes: bool = False
    num_validation: int | None = Field(None, ge=2)


class UtdMhadInterSensor(Part):
    """Train on the signals of one sensor and test on those of the other; needs `data.modality` fused.

    Own interpretation, as no lists were published: classes are those of `UtdMhadOneShot` (a1..aN auxiliary, so that
    novel classes are unseen in both sensors), validation uses the training sensor, and both exemplars (subject 1,
    trial 1) and queries use the other sensor.
    """

    name: Literal["utd_mhad_inter_sensor"] = "utd_mhad_inter_sensor"
    train_on: Literal["inertial", "skeleton"] = "inertial"
    num_auxiliary: int = Field(11, ge=2, le=25)
    num_novel: int | None = Field(None, ge=2, le=25)
    num_validation: int | None = Field(None, ge=2)


class SimitateOneShot(Part):
    """SL-DML's Simitate splits: the first N of 26 classes are auxiliary (own convention: in sorted order).

    Published with N of 10, 14, 18, 22. `num_novel`: number of the last classes that are novel; None takes all
    that are not auxiliary. Exemplar: a class's first recording by name (own convention).
    """

    name: Literal["simitate_one_shot"] = "simitate_one_shot"
    num_auxiliary: int = Field(14, ge=2, le=24)
    num_novel: int | None = Field(None, ge=2, le=24)
    num_validation: int | None = Field(None, ge=2)


class ImageFolderOneShot(Part):
    """The split given by the folders of published images: train, val, val_samples auxiliary; test, samples novel.

    `num_validation`: number of classes to hold out, evenly spaced, if the folders hold out none.
    """

    name: Literal["image_folder"] = "image_folder"
    num_validation: int | None = Field(None, ge=2)


class SubjectExemplar(Part):
    """A class's exemplar is the first recording of one subject."""

    subject: str | None = None
    """None takes the first subject in natural order."""


class TrialExemplar(Part):
    """A class's exemplar is the recording with one value in a column of the catalogue."""

    column: str = "trial"
    value: int | str = 1
    subject: str | None = None
    """Only of this subject; None takes the first by name if there are several."""


class ListExemplar(Part):
    """Exemplars are listed in a CSV file with the header `label,name`."""

    file: str = "exemplars.csv"
    """Absolute, or relative to the working folder."""


class ExemplarConfig(BranchedPart):
    """The exemplar of a novel class; `first`: its first recording by name, in natural order."""

    name: Literal["first", "subject", "trial", "list"] = "first"
    subject: SubjectExemplar | None = None
    trial: TrialExemplar | None = None
    list: ListExemplar | None = None


class SpreadValidation(Part):
    """Hold out evenly spaced auxiliary classes."""

    num_classes: int | None = Field(None, ge=2)
    """None takes a quarter of them, at least 3 and at most 20; with fewer than 6 classes, subjects are held out."""


class ListValidation(Part):
    """Hold out these auxiliary classes."""

    classes: ClassNames = ()


class FoldValidation(Part):
    """Distribute the auxiliary classes over folds and hold out one fold."""

    num_folds: int = Field(5, ge=2)
    fold: int = Field(0, ge=0)
    """Index of the fold, from 0."""

    @model_validator(mode="after")
    def _one_of_the_folds(self) -> Self:
        if self.fold >= self.num_folds:
            raise ValueError(f"`fold < num_folds` must hold, but fold is {self.fold} and num_folds {self.num_folds}")
        return self


class ValidationConfig(BranchedPart):
    """The auxiliary classes that are held out from training for validation."""

    name: Literal["spread", "list", "folds"] = "spread"
    spread: SpreadValidation | None = None
    list: ListValidation | None = None
    folds: FoldValidation | None = None


class OneShot(Part):
    """One-shot recognition on any dataset, its classes in natural order (`a2` before `a10`).

    Auxiliary classes are the first `num_auxiliary` or those in `auxiliary`; novel classes are the last `num_novel`,
    those in `novel`, or all others. Without any of these settings, seven tenths of the classes are auxiliary.
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
                raise ValueError(f"`{side}` and `num_{side}` are both set: give only one of them")
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
