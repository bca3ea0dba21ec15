"""All that read what others wrote, by name."""

from fuzzing import event_files, pictures, settings, weights

READERS = {
    reader.name: reader for reader in (*event_files.READERS, *pictures.READERS, *weights.READERS, *settings.READERS)
}
