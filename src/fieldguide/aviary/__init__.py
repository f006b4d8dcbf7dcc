"""The aviary: a small rendered world in the real data sets' layouts."""
