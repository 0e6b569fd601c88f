# gnuplot -c tools/pretrain/plot_loss.gp LOSS.csv LOSS.svg
set datafile separator ','
set terminal svg size 720,420 font 'sans,12'
set output ARG2
set xlabel 'images seen (thousands)'
set ylabel 'loss'
set y2label 'accuracy in training'
set y2range [0:1]
set y2tics
set ytics nomirror
set key outside below horizontal
set grid
plot ARG1 using ($4/1000):5 skip 1 with lines title 'contrastive', \
     '' using ($4/1000):6 skip 1 with lines title 'state of image', \
     '' using ($4/1000):7 skip 1 with lines title 'state of patch', \
     '' using ($4/1000):8 skip 1 axes x1y2 with lines dt 2 title 'retrieval', \
     '' using ($4/1000):9 skip 1 axes x1y2 with lines dt 2 title 'state accuracy'
