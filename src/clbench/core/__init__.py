"""What every part of clbench uses: errors, settings, registries, cards, storage, reading of images, seeding."""
