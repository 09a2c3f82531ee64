from training.models.loop import Loop
from training.models.model_version import ModelVersion
from training.models.run import RunEvent, TrainingRun
from training.models.worker import TrainingWorker

__all__ = ["Loop", "ModelVersion", "RunEvent", "TrainingRun", "TrainingWorker"]
