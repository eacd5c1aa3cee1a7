"""Makes the archives beside this file, for tests/formats.rs. Made with NumPy 2.4.6."""

from pathlib import Path

import numpy as np

here = Path(__file__).parent

# What `tiny()` in the tests is.
np.savez(
    here / "tiny.npz",
    x_train=np.array([[[0], [51]], [[102], [153]], [[204], [255]]], np.uint8),
    y_train=np.array([0, 9, 1]),
    x_test=np.array([[[5], [6]], [[7], [8]]], np.uint8),
    y_test=np.array([2, 3]),
)


def images(count):
    """[count, 5, 6, 3]: a value says where it is."""
    n, h, w, c = np.indices((count, 5, 6, 3))
    return n * 1000 + c * 100 + h * 10 + w + 0.5


np.savez_compressed(
    here / "varied.npz",
    train_images=np.asfortranarray(images(4).astype(">f8")),
    train_labels=np.array([[1], [0], [2], [1]], ">i2"),
    test_images=images(2).astype(np.float32),
    test_labels=np.array([0, 2], np.uint8),
    val_images=np.zeros(3),
    class_names=np.array(["cat", "Übung", "dog"]),
)
np.savez(here / "objects.npz", x_train=np.array([1, "a"], object))
