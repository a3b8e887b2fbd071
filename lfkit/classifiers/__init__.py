"""Classifiers: from images or features and soft labels to a label distribution."""

from lfkit.classifiers.classifier import Classifier as Classifier
from lfkit.classifiers.classifier import one_hot as one_hot
from lfkit.classifiers.cnn import ConvNet as ConvNet
from lfkit.classifiers.lda import ShrinkageLDA as ShrinkageLDA
from lfkit.classifiers.logistic import SoftLogisticRegression as SoftLogisticRegression

# Those that learn from rows of features, or from images read as rows.
CLASSIFIERS: dict[str, type[Classifier]] = {
    "lda": ShrinkageLDA,
    "logistic": SoftLogisticRegression,
}
