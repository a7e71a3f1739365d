"""Evolution of fixed-size subsets; the sampler itself comes with evop_deap."""

from evop_deap.tuning.pattern_sampler import PatternSampler, suggest_pattern

__all__ = ["PatternSampler", "suggest_pattern"]
