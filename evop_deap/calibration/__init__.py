"""Documents in, an ordered calibration set and its manifest out."""

from __future__ import annotations

from evop_deap.calibration.calibration_set import CalibrationSet, build_calibration
from evop_deap.calibration.ccds import ClusterSampler
from evop_deap.calibration.sampling import Sampler, random_order, split_documents
from evop_deap.calibration.set_folder import load_calibration, save_calibration
from evop_deap.text.corpus import load_corpus
from evop_deap.text.documents import Corpus, Document, make_corpus
from evop_deap.text.split_text import split_text
from evop_deap.text.windows import Stretch, WindowSet, check_window, pack_windows

__all__ = [
    "CalibrationSet",
    "ClusterSampler",
    "Corpus",
    "Document",
    "Sampler",
    "Stretch",
    "WindowSet",
    "build_calibration",
    "check_window",
    "load_calibration",
    "load_corpus",
    "make_corpus",
    "pack_windows",
    "random_order",
    "save_calibration",
    "split_documents",
    "split_text",
]
