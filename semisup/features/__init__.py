"""Stored features of a frozen encoder: what identifies them, the pack on disk, encoding, and views for training."""

from semisup.features.classifier import Ensemble
from semisup.features.encode import EncodingJob, encode_missing, image_digests, seconds_per_view
from semisup.features.images import EncodedImages, StoredViews
from semisup.features.recipe import PackRecipe
from semisup.features.store import FeaturePack
from semisup.features.table import FeatureTable

__all__ = [
    "EncodedImages",
    "EncodingJob",
    "Ensemble",
    "FeaturePack",
    "FeatureTable",
    "PackRecipe",
    "StoredViews",
    "encode_missing",
    "image_digests",
    "seconds_per_view",
]
