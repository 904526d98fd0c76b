# The look of every figure of latent: read into each script that plot.lua writes.
# Change it here, or take a figure's own script (keep = true) and change it there.

# Text: DejaVu Sans comes with gnuplot's packages; another font must have about its width.
latent_font = 'DejaVu Sans'
latent_size = 11

# Ten colours that stay apart for all common kinds of colour blindness, and on white.
set linetype 1 lc rgb '#1d6ec4' lw 2 pt 7 ps 0.7   # blue
set linetype 2 lc rgb '#c8470f' lw 2 pt 7 ps 0.7   # vermilion
set linetype 3 lc rgb '#0c955f' lw 2 pt 7 ps 0.7   # green
set linetype 4 lc rgb '#ec9d11' lw 2 pt 7 ps 0.7   # orange
set linetype 5 lc rgb '#3e1b9a' lw 2 pt 7 ps 0.7   # indigo
set linetype 6 lc rgb '#1faff0' lw 2 pt 7 ps 0.7   # sky
set linetype 7 lc rgb '#c171a2' lw 2 pt 7 ps 0.7   # pink
set linetype 8 lc rgb '#702400' lw 2 pt 7 ps 0.7   # brown
set linetype 9 lc rgb '#d1a758' lw 2 pt 7 ps 0.7   # sand
set linetype 10 lc rgb '#222222' lw 2 pt 7 ps 0.7  # black
set linetype cycle 10

# Axes: thin, grey, ticks outside; a hair of grid behind the data. Evaluated anew for every panel.
set style line 101 lc rgb '#606060' lw 1
set style line 102 lc rgb '#e4e4e4' lw 0.7
latent_axes = "set border 3 back ls 101; set tics out nomirror scale 0.6,0.3 textcolor rgb '#222222'; " \
            . "set grid xtics ytics back ls 102"
