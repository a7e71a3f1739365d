"""Construction of an ordered calibration set and its manifest from documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from evop_deap.calibration.calibration_set import CalibrationSet as CalibrationSet
    from evop_deap.calibration.calibration_set import build_calibration as build_calibration
    from evop_deap.calibration.ccds import ClusterSampler as ClusterSampler
    from evop_deap.calibration.sampling import Sampler as Sampler
    from evop_deap.calibration.sampling import random_order as random_order
    from evop_deap.calibration.sampling import split_documents as split_documents
    from evop_deap.calibration.set_folder import load_calibration as load_calibration
    from evop_deap.calibration.set_folder import save_calibration as save_calibration
    from evop_deap.text.corpus import load_corpus as load_corpus
    from evop_deap.text.documents import Corpus as Corpus
    from evop_deap.text.documents import Document as Document
    from evop_deap.text.documents import make_corpus as make_corpus
    from evop_deap.text.split_text import split_text as split_text
    from evop_deap.text.window_set import Stretch as Stretch
    from evop_deap.text.window_set import WindowSet as WindowSet
    from evop_deap.text.windows import check_window as check_window
    from evop_deap.text.windows import pack_windows as pack_windows

_HOMES = {
    "CalibrationSet": "calibration.calibration_set",
    "ClusterSampler": "calibration.ccds",
    "Corpus": "text.documents",
    "Document": "text.documents",
    "Sampler": "calibration.sampling",
    "Stretch": "text.window_set",
    "WindowSet": "text.window_set",
    "build_calibration": "calibration.calibration_set",
    "check_window": "text.windows",
    "load_calibration": "calibration.set_folder",
    "load_corpus": "text.corpus",
    "make_corpus": "text.documents",
    "pack_windows": "text.windows",
    "random_order": "calibration.sampling",
    "save_calibration": "calibration.set_folder",
    "split_documents": "calibration.sampling",
    "split_text": "text.split_text",
}

__all__ = sorted(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
