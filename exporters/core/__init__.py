"""What every exporter uses: errors, files, locks, interrupts, limits, arrays, names, licences."""
