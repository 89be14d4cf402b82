"""What a run will cost: the work of each stage, its price on a machine, and the disk that it takes."""
