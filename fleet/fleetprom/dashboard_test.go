package fleetprom_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	Panels []struct {
		ID         int        `json:"id"`
		Title      string     `json:"title"`
		Datasource datasource `json:"datasource"`
		GridPos    struct{ X, Y, W, H int }
		Targets    []struct {
			RefID      string     `json:"refId"`
			Datasource datasource `json:"datasource"`
			Expr       string     `json:"expr"`
			Legend     string     `json:"legendFormat"`
		} `json:"targets"`
	} `json:"panels"`
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

var (
	metricName = regexp.MustCompile(`wechatws_fleet_\w+`)
	rated      = regexp.MustCompile(`rate\(`)
)

// checkDashboard checks that the dashboard asks for all that there is and for nothing
// else, and takes rates of counters and of nothing else.
func checkDashboard(t *testing.T, families map[string]*dto.MetricFamily) {
	t.Helper()
	asked := map[string]bool{}
	for _, query := range readDashboard(t).queries() {
		counters := 0
		for _, name := range metricName.FindAllString(query, -1) {
			asked[name] = true
			if assert.Contains(t, families, name, query) && families[name].GetType() == dto.MetricType_COUNTER {
				counters++
			}
		}
		assert.Len(t, rated.FindAllString(query, -1), counters, query)
	}
	for name := range families {
		assert.True(t, asked[name], "%s is nowhere in the dashboard", name)
	}
}

func TestTheDashboardCanBeImported(t *testing.T) {
	d := readDashboard(t)
	assert.NotEmpty(t, d.Title)
	assert.NotEmpty(t, d.UID)
	assert.Nil(t, d.ID, "an id is of one Grafana")
	assert.Positive(t, d.SchemaVersion)
	assert.Equal(t, "datasource", d.Templating.List[0].Type, "before those that ask it")

	variables := []string{"__rate_interval"}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Type == "query" {
			assert.Equal(t, "${datasource}", v.Datasource.UID)
			assert.Regexp(t, `^label_values\(wechatws_fleet_rooms, worker\)$`, v.Definition)
		}
	}
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		assert.False(t, ids[p.ID], "id %d is there twice", p.ID)
		ids[p.ID] = true
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%s lies upon another one", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
		assert.NotEmpty(t, p.Targets, p.Title)
		assert.Equal(t, datasource{"prometheus", "${datasource}"}, p.Datasource, p.Title)
		refs := map[string]bool{}
		for _, target := range p.Targets {
			assert.False(t, refs[target.RefID], "%s: %s is there twice", p.Title, target.RefID)
			refs[target.RefID] = true
			assert.Equal(t, p.Datasource, target.Datasource, p.Title)
			for _, v := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				assert.Contains(t, variables, v[1], p.Title)
			}
			for _, l := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.Legend, -1) {
				assert.Contains(t, []string{"worker", "group", "stream"}, l[1], p.Title)
				assert.NotRegexp(t, `^sum\(`, target.Expr, p.Title)
			}
		}
	}
}

// Prometheus itself parses every query of the dashboard, of the package's documentation and
// of the document on operating, as rules.
func TestTheQueriesAreQueries(t *testing.T) {
	queries := append(readDashboard(t).queries(), watched(t)...)
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, query := range queries {
		query = strings.NewReplacer("$__rate_interval", "5m", "$worker", ".*").Replace(query)
		text, err := json.Marshal(query) // which is YAML as well
		require.NoError(t, err)
		fmt.Fprintf(&rules, "  - record: query:%d\n    expr: %s\n", i, text)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	require.NoError(t, os.WriteFile(file, []byte(rules.String()), 0o600))
	promtool(t, "", "check", "rules", file)
}

// watched are the queries under "What to watch".
func watched(t *testing.T) (queries []string) {
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

// The alerts of the document on operating are rules that Prometheus takes.
func TestTheAlertsAreRules(t *testing.T) {
	text, err := os.ReadFile("alerts.yml")
	require.NoError(t, err)
	for _, name := range metricName.FindAllString(string(text), -1) {
		assert.Contains(t, names(), strings.TrimPrefix(name, "wechatws_fleet_"))
	}
	promtool(t, "", "check", "rules", "alerts.yml")
	promtool(t, "", "test", "rules", "testdata/alerts_test.yml")
}
