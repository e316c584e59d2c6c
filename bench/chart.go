package main

import (
	"image/color"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// fileName is the name of the trial's picture.
func (t trial) fileName() string {
	keep := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}
	return strings.Map(keep, strings.ToLower(t.workload+" "+t.title)) + ".svg"
}

// picture draws the medians as bars, the quartiles as whiskers.
func (t trial) picture(all map[string]results, path string) error {
	if t.draw != nil {
		return t.draw(path)
	}
	p := newPlot(t.workload + " " + t.title)
	p.X.Label.Text = string(t.chart)
	p.X.Min = 0
	var (
		others plotter.Values // the bars of the others, and of wechatws
		own    plotter.Values
		labels []string
		marks  plotter.XYLabels
		spread quartileBars
	)
	for i := range t.entries { // the first one on top
		e := t.entries[len(t.entries)-1-i]
		q1, median, q3 := all[e.String()].quartiles(t.chart)
		if strings.HasPrefix(e.name, "wechatws") {
			others, own = append(others, 0), append(own, median)
		} else {
			others, own = append(others, median), append(own, 0)
		}
		labels = append(labels, e.String())
		marks.XYs = append(marks.XYs, plotter.XY{X: q3, Y: float64(i)})
		marks.Labels = append(marks.Labels, " "+figure(median, digits(median)))
		spread.XYs = append(spread.XYs, plotter.XY{X: median, Y: float64(i)})
		spread.XErrors = append(spread.XErrors, struct{ Low, High float64 }{q1 - median, q3 - median})
	}
	for i, values := range []plotter.Values{others, own} {
		bars, err := plotter.NewBarChart(values, vg.Points(14))
		if err != nil {
			return err
		}
		bars.Horizontal = true
		bars.Color = colors[i]
		bars.LineStyle.Width = 0
		p.Add(bars)
	}
	whiskers, err := plotter.NewXErrorBars(spread)
	if err != nil {
		return err
	}
	texts, err := plotter.NewLabels(marks)
	if err != nil {
		return err
	}
	for i := range texts.TextStyle {
		texts.TextStyle[i].YAlign = -0.5
		texts.TextStyle[i].Font.Variant = "Sans"
	}
	p.Add(whiskers, texts)
	p.NominalY(labels...)
	p.X.Max *= 1.12 // room for the figures
	return p.Save(18*vg.Centimeter, vg.Length(len(labels))*0.75*vg.Centimeter+2.5*vg.Centimeter, path)
}

var colors = []color.Color{color.Gray{0xb0}, color.RGBA{0x07, 0xa0, 0x50, 0xff}}

// newPlot is an empty chart without serifs.
func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	return p
}

// quartileBars are the places and lengths of the whiskers.
type quartileBars struct {
	plotter.XYs
	plotter.XErrors
}

// digits shows small figures in more detail.
func digits(value float64) int {
	switch {
	case value >= 100:
		return 0
	case value >= 1:
		return 1
	}
	return 2
}
