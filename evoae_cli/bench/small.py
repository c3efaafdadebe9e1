"""The settings of a search that trains real networks, finalists and all, in a few seconds."""

from typing import Any

SMALL: dict[str, Any] = {
    "space": "paper",
    "generations": 1,
    "population": 2,
    "epochs": 1,
    "final_epochs": 2,
    "train_images": 32,
    "val_images": 4,
    "test_images": 4,
    "patch": 32,
    "crop": 32,
    "finalists": 2,
    "filters": (8,),
    "kernels": (1, 3),
    "max_layers": 2,
    "precision": "float32",
}
