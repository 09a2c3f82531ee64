from training.models.gate import Gate, StageChange
from training.models.loop import Loop
from training.models.model_version import ModelVersion
from training.models.round import Round, RoundStep
from training.models.run import RunEvent, TrainingRun
from training.models.worker import TrainingWorker

__all__ = [
    "Gate",
    "Loop",
    "ModelVersion",
    "Round",
    "RoundStep",
    "RunEvent",
    "StageChange",
    "TrainingRun",
    "TrainingWorker",
]
