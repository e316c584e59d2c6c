package wsprom_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/metrics/wsprom"
)

// A dashboard is as much of Grafana's format as is tested here.
type dashboard struct {
	Title         string `json:"title"`
	UID           string `json:"uid"`
	SchemaVersion int    `json:"schemaVersion"`
	ID            *int   `json:"id"`
	Templating    struct {
		List []struct {
			Name       string     `json:"name"`
			Type       string     `json:"type"`
			Datasource datasource `json:"datasource"`
			Definition string     `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID         int        `json:"id"`
	Title      string     `json:"title"`
	Type       string     `json:"type"`
	Datasource datasource `json:"datasource"`
	GridPos    struct{ X, Y, W, H int }
	Targets    []struct {
		RefID      string     `json:"refId"`
		Datasource datasource `json:"datasource"`
		Expr       string     `json:"expr"`
		Legend     string     `json:"legendFormat"`
	} `json:"targets"`
}

type datasource struct{ Type, UID string }

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &d))
	return d
}

// queries are everything in the dashboard that is sent to Prometheus.
func (d dashboard) queries() (queries []string) {
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
	}
	return queries
}

// gathered is what a collector with an eventful client reports, by name.
func gathered(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	families := map[string]*dto.MetricFamily{}
	virtual(t, func(t *testing.T, w *world) {
		collector := wsprom.New()
		c := w.client(shortQueue())
		defer collector.Add("a", c)()
		w.eventful(c)
		r := prometheus.NewPedanticRegistry()
		require.NoError(t, r.Register(collector))
		all, err := r.Gather()
		require.NoError(t, err)
		for _, f := range all {
			families[f.GetName()] = f
		}
	})
	return families
}

var (
	metricName = regexp.MustCompile(`wechatws_\w+`)
	selector   = regexp.MustCompile(`(wechatws_\w+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
	grouping   = regexp.MustCompile(`(?:by|without)\s*\(([^)]*)\)`)
	rated      = regexp.MustCompile(`(?:rate|increase)\(`)
	legend     = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

func TestTheDashboardAsksForWhatThereIs(t *testing.T) {
	d, families := readDashboard(t), gathered(t)
	asked := map[string]bool{}
	for _, query := range d.queries() {
		names := metricName.FindAllString(query, -1)
		require.NotEmpty(t, names, query)
		for _, name := range names {
			asked[name] = true
			require.Contains(t, families, name, query)
		}
		for _, s := range selector.FindAllStringSubmatch(query, -1) {
			labels := labelsOf(families[s[1]])
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				label, values := m[1], m[2]
				require.Contains(t, labels, label, query)
				if strings.HasPrefix(values, "$") {
					continue
				}
				for value := range strings.SplitSeq(values, "|") {
					require.Contains(t, labels[label], value, query)
				}
			}
		}
		for _, g := range grouping.FindAllStringSubmatch(query, -1) {
			for label := range strings.SplitSeq(g[1], ",") {
				require.Contains(t, labelsOf(families[names[0]]), strings.TrimSpace(label), query)
			}
		}
	}
	for name := range families {
		require.True(t, asked[name], "%s is nowhere in the dashboard", name)
	}
}

// labelsOf are the labels that a family has, and their values, with the one that a
// scrape adds.
func labelsOf(f *dto.MetricFamily) map[string][]string {
	labels := map[string][]string{"job": nil}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
		}
	}
	return labels
}

// A rate of a gauge, and a counter without one, are the classic mistakes. In a table
// a counter is shown as it is.
func TestTheDashboardTakesRatesOfCounters(t *testing.T) {
	families := gathered(t)
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			rates := len(rated.FindAllString(target.Expr, -1))
			counters := 0
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				if families[name].GetType() == dto.MetricType_COUNTER {
					counters++
				}
			}
			if p.Type == "table" {
				require.Zero(t, rates, target.Expr)
			} else {
				require.Equal(t, counters, rates, target.Expr)
			}
		}
	}
}

func TestTheDashboardCanBeImported(t *testing.T) {
	d := readDashboard(t)
	require.NotEmpty(t, d.Title)
	require.NotEmpty(t, d.UID)
	require.Nil(t, d.ID, "an id is of one Grafana")
	require.Positive(t, d.SchemaVersion)

	variables := []string{"__rate_interval"}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Type == "query" {
			require.Equal(t, "${datasource}", v.Datasource.UID)
			require.Regexp(t, `^label_values\(wechatws_clients(\{job=~"\$job"\})?, (job|client)\)$`, v.Definition)
		}
	}
	require.Equal(t, "datasource", d.Templating.List[0].Type, "before those that ask it")

	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		require.False(t, ids[p.ID], "id %d is there twice", p.ID)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%s lies upon another one", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		require.Equal(t, datasource{"prometheus", "${datasource}"}, p.Datasource, p.Title)
		refs := map[string]bool{}
		for _, target := range p.Targets {
			require.False(t, refs[target.RefID], "%s: %s is there twice", p.Title, target.RefID)
			refs[target.RefID] = true
			require.Equal(t, p.Datasource, target.Datasource, p.Title)
			for _, v := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				require.Contains(t, variables, v[1], p.Title)
			}
			for _, l := range legend.FindAllStringSubmatch(target.Legend, -1) {
				require.Contains(t, target.Expr, l[1], p.Title)
			}
		}
	}
}

// TestTheQueriesAreQueries has Prometheus itself parse every query of the dashboard
// and of the package's documentation, as rules.
func TestTheQueriesAreQueries(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	queries := append(readDashboard(t).queries(), documented(t)...)
	for i, query := range queries {
		query = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$client", ".*").Replace(query)
		text, err := json.Marshal(query) // which is YAML as well
		require.NoError(t, err)
		fmt.Fprintf(&rules, "  - record: query:%d\n    expr: %s\n", i, text)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	require.NoError(t, os.WriteFile(file, []byte(rules.String()), 0o600))
	promtool(t, "", "check", "rules", file)
}

// documented are the queries under "What to watch".
func documented(t *testing.T) (queries []string) {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, watch, found := strings.Cut(string(text), "// # What to watch\n")
	require.True(t, found)
	watch, _, _ = strings.Cut(watch, "// # ")
	for line := range strings.Lines(watch) {
		if query, ok := strings.CutPrefix(strings.TrimSpace(line), "//\t"); ok && !strings.HasPrefix(query, "#") {
			queries = append(queries, query)
		}
	}
	require.NotEmpty(t, queries)
	return queries
}

func TestTheDocumentationNamesEveryMetric(t *testing.T) {
	families := gathered(t)
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, table, _ := strings.Cut(string(text), "// # Metrics\n")
	table, _, _ = strings.Cut(table, "// # ")
	var named []string
	for _, line := range regexp.MustCompile(`(?m)^//\t(wechatws_\w+)(?:\{(\w+)\})?\s+(gauge|counter)\b`).FindAllStringSubmatch(table, -1) {
		name, label, kind := line[1], line[2], line[3]
		named = append(named, name)
		require.Contains(t, families, name)
		require.Equal(t, strings.ToUpper(kind), families[name].GetType().String(), name)
		labels := labelsOf(families[name])
		delete(labels, "job")
		delete(labels, "client")
		if label != "" {
			require.Contains(t, labels, label, name)
			delete(labels, label)
		}
		require.Empty(t, labels, name)
	}
	require.Len(t, named, len(families))
	for _, query := range documented(t) {
		for _, name := range metricName.FindAllString(query, -1) {
			require.Contains(t, families, name, query)
		}
	}
}
