import pytest
import torch
from matplotlib.figure import Figure

from trevsnn.plots.confusion import confusion_figure, draw_confusion
from trevsnn.training.evaluation import Evaluation


@pytest.mark.parametrize("classes", [2, 30, 200])
def test_picture_of_any_number_of_classes(classes):
    counts = torch.eye(classes, dtype=torch.long) * 3
    counts[0, 1] = 2
    figure = confusion_figure(counts, [f"class_${i}_to_$" for i in range(classes)])
    (axes,) = figure.axes
    assert axes.images[0].get_array().tolist() == counts.tolist()
    assert axes.get_title() == f"accuracy {3 * classes / (3 * classes + 2):.2%}"
    assert 3 < min(figure.get_size_inches()) <= 12
    figure.draw_without_rendering()


def test_what_follows_from_the_counts():
    found = Evaluation(confusion=torch.tensor([[3, 1], [2, 4]]), loss=0.5)
    assert (found.images, found.accuracy) == (10, 0.7)


def test_labels_and_counts_are_drawn_as_long_as_they_can_be_read():
    for classes, labels, counts in ((2, 2, 4), (30, 30, 0), (200, 0, 0)):
        figure = Figure()
        axes = figure.subplots()
        draw_confusion(axes, torch.eye(classes, dtype=torch.long), [f"class {i}" for i in range(classes)])
        assert (len(axes.get_xticklabels()), len(axes.get_yticklabels())) == (labels, labels)
        assert len(axes.texts) == counts
        assert figure.axes == [axes], "no bar of colours beside it"
