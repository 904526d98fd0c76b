# The look of every figure of latent: read into each script that plot.lua writes.
# Change it here, or take a figure's own script (keep = true) and change it there.

# Text: DejaVu Sans comes with gnuplot's packages; another font must have about its width.
latent_font = 'DejaVu Sans'
latent_size = 11

# Ten colours as far apart as can be for everybody: the nearest two of them differ by 14.8 (CIEDE2000), as they are and
# as seen without red, green or blue cones (Machado et al. 2009). Digits that lie side by side are the furthest apart.
set linetype 1 lc rgb '#1d6ec4' lw 2 pt 7 ps 0.7   # blue
set linetype 2 lc rgb '#c8470f' lw 2 pt 7 ps 0.7   # vermilion
set linetype 3 lc rgb '#2db26e' lw 2 pt 7 ps 0.7   # green
set linetype 4 lc rgb '#884474' lw 2 pt 7 ps 0.7   # plum
set linetype 5 lc rgb '#250071' lw 2 pt 7 ps 0.7   # navy
set linetype 6 lc rgb '#d1d313' lw 2 pt 7 ps 0.7   # lime
set linetype 7 lc rgb '#d57ea3' lw 2 pt 7 ps 0.7   # pink
set linetype 8 lc rgb '#5b5b4b' lw 2 pt 7 ps 0.7   # olive
set linetype 9 lc rgb '#9196ff' lw 2 pt 7 ps 0.7   # periwinkle
set linetype 10 lc rgb '#1ae1e6' lw 2 pt 7 ps 0.7  # cyan
set linetype cycle 10

# Axes: thin, grey, ticks outside; a hair of grid behind the data. Evaluated anew for every panel.
set style line 101 lc rgb '#606060' lw 1
set style line 102 lc rgb '#e4e4e4' lw 0.7
latent_axes = "set border 3 back ls 101; set tics out nomirror scale 0.6,0.3 textcolor rgb '#222222'; " \
            . "set grid xtics ytics back ls 102"
