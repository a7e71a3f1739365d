"""Encoders, which turn texts into vectors for the clustering."""

from __future__ import annotations

from evop_deap.calibration.embedding.encoder import Encoder, as_encoder
from evop_deap.calibration.embedding.kept import embed
from evop_deap.calibration.embedding.middle import MiddleStates
from evop_deap.calibration.embedding.sentence import SentenceEncoder, load_sentence_encoder
from evop_deap.calibration.embedding.tfidf import TfidfEncoder

__all__ = [
    "Encoder",
    "MiddleStates",
    "SentenceEncoder",
    "TfidfEncoder",
    "as_encoder",
    "embed",
    "load_sentence_encoder",
]
