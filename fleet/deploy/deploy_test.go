package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// The programs' and manifests' own words, which must fit together.
const (
	workerMain = "worker/main.go"
	manifest   = "kubernetes/worker.yaml"
	natsValues = "kubernetes/nats-values.yaml"
	unit       = "systemd/wechatws-worker@.service"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

// found is the number that an expression finds in a file.
func found(t *testing.T, file, expression string) int64 {
	t.Helper()
	m := regexp.MustCompile(expression).FindStringSubmatch(read(t, file))
	require.NotNil(t, m, "%s is not in %s", expression, file)
	n, err := strconv.ParseInt(m[1], 10, 64)
	require.NoError(t, err)
	return n
}

// drain is the worker's default of -drain, in seconds.
func drain(t *testing.T) int64 { return found(t, workerMain, `"drain", (\d+)\*time\.Second`) }

// The manifests have no field that Kubernetes does not know, and agree with each other.
func TestKubernetes(t *testing.T) {
	parts := bytes.Split([]byte(read(t, manifest)), []byte("\n---\n"))
	require.Len(t, parts, 2)
	var d appsv1.Deployment
	require.NoError(t, yaml.UnmarshalStrict(parts[0], &d))
	var b policyv1.PodDisruptionBudget
	require.NoError(t, yaml.UnmarshalStrict(parts[1], &b))

	assert.Equal(t, "apps/v1 Deployment", d.APIVersion+" "+d.Kind)
	assert.Equal(t, "policy/v1 PodDisruptionBudget", b.APIVersion+" "+b.Kind)
	pod := d.Spec.Template
	assert.Equal(t, d.Spec.Selector.MatchLabels, pod.Labels)
	assert.Equal(t, b.Spec.Selector.MatchLabels, pod.Labels)
	assert.Greater(t, *pod.Spec.TerminationGracePeriodSeconds, drain(t)+5)
	assert.Equal(t, 1, b.Spec.MaxUnavailable.IntValue())
	near := pod.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0].PodAffinityTerm
	assert.Equal(t, pod.Labels, near.LabelSelector.MatchLabels)
	assert.Equal(t, corev1.LabelHostname, near.TopologyKey)
	assert.True(t, *pod.Spec.SecurityContext.RunAsNonRoot)

	require.Len(t, pod.Spec.Containers, 1)
	c := pod.Spec.Containers[0]
	assert.Equal(t, "/health/ready", c.ReadinessProbe.HTTPGet.Path)
	assert.Equal(t, "/health/live", c.LivenessProbe.HTTPGet.Path)
	port := c.Ports[0]
	for _, probe := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
		assert.Equal(t, port.Name, probe.HTTPGet.Port.String())
	}
	assert.Contains(t, c.Args, "-listen=:"+strconv.Itoa(int(port.ContainerPort)))
	assert.Nil(t, c.Lifecycle, "SIGTERM is enough")
	assert.NotEmpty(t, c.Resources.Requests.Cpu().String())
	assert.False(t, c.Resources.Limits.Memory().IsZero())
	assert.True(t, c.Resources.Limits.Cpu().IsZero(), "who is throttled renews no lease")
	assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	flags(t, c.Args)

	for _, e := range c.Env {
		switch e.Name {
		case "NATS_URL": // which may hold a password
			assert.NotNil(t, e.ValueFrom.SecretKeyRef)
		case "CREDENTIALS_DIRECTORY":
			assert.Equal(t, c.VolumeMounts[0].MountPath, e.Value)
			assert.Equal(t, c.VolumeMounts[0].Name, pod.Spec.Volumes[0].Name)
			assert.NotNil(t, pod.Spec.Volumes[0].Secret)
		case "WORKER_NAME":
			assert.Contains(t, read(t, workerMain), `"WORKER_NAME"`)
		}
	}
}

// flags checks that the worker has these flags.
func flags(t *testing.T, args []string) {
	t.Helper()
	program := read(t, workerMain)
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		assert.Contains(t, program, `"`+name+`"`, arg)
	}
}

// values are the values of the chart of NATS that are permitted here; another one is a mistake.
type values struct {
	Config struct {
		Cluster struct {
			Enabled  bool `json:"enabled"`
			Replicas int  `json:"replicas"`
		} `json:"cluster"`
		JetStream struct {
			Enabled   bool `json:"enabled"`
			FileStore struct {
				Enabled bool `json:"enabled"`
				PVC     struct {
					Enabled bool   `json:"enabled"`
					Size    string `json:"size"`
				} `json:"pvc"`
			} `json:"fileStore"`
			Merge map[string]string `json:"merge"`
		} `json:"jetstream"`
		Merge map[string]string `json:"merge"`
	} `json:"config"`
	PodTemplate struct {
		Spread map[string]struct {
			MaxSkew int                                  `json:"maxSkew"`
			When    corev1.UnsatisfiableConstraintAction `json:"whenUnsatisfiable"`
		} `json:"topologySpreadConstraints"`
	} `json:"podTemplate"`
	PodDisruptionBudget struct {
		Enabled bool `json:"enabled"`
	} `json:"podDisruptionBudget"`
	Container struct {
		Env   map[string]string `json:"env"`
		Merge corev1.Container  `json:"merge"`
	} `json:"container"`
}

func TestNATS(t *testing.T) {
	var v values
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, natsValues)), &v))
	assert.Equal(t, 3, v.Config.Cluster.Replicas)
	assert.True(t, v.Config.Cluster.Enabled && v.Config.JetStream.Enabled && v.Config.JetStream.FileStore.PVC.Enabled)
	assert.Equal(t, corev1.DoNotSchedule, v.PodTemplate.Spread[corev1.LabelHostname].When)
	assert.False(t, v.Container.Merge.Resources.Limits.Memory().IsZero())
	assert.Contains(t, read(t, manifest), "-replicas=3")

	// A server takes what is merged into its configuration.
	config := "jetstream {\n store_dir: /data\n"
	for key, value := range v.Config.JetStream.Merge {
		config += " " + key + ": " + plain(value) + "\n"
	}
	config += "}\n"
	for key, value := range v.Config.Merge {
		config += key + ": " + plain(value) + "\n"
	}
	options := &server.Options{}
	require.NoError(t, options.ProcessConfigString(config))
	assert.True(t, options.SyncAlways)
	assert.GreaterOrEqual(t, options.MaxPayload, int32(8_000_000))
}

// plain is a value as the chart writes it: << and >> keep it from being quoted.
func plain(value string) string {
	return strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(value, "<<"), ">>"))
}

// systemd itself accepts the unit, and its settings agree with each other.
func TestSystemd(t *testing.T) {
	assert.Greater(t, found(t, unit, `(?m)^TimeoutStopSec=(\d+)$`), drain(t)+5)
	assert.Greater(t, found(t, unit, `(?m)^LimitNOFILE=(\d+)$`), int64(100_000))
	text := read(t, unit)
	start := regexp.MustCompile(`(?m)^ExecStart=\S+ (.*)$`).FindStringSubmatch(text)
	require.NotNil(t, start)
	for _, arg := range strings.Fields(start[1]) {
		if strings.HasPrefix(arg, "-") {
			flags(t, []string{arg})
		}
	}

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	// It looks for the program, which is not installed here.
	file := filepath.Join(t.TempDir(), "wechatws-worker@1.service")
	installed := strings.Replace(text, "/usr/local/bin/wechatws-worker", "/bin/true", 1)
	require.NoError(t, os.WriteFile(file, []byte(installed), 0o600))
	out, err := exec.Command(analyze, "verify", file).CombinedOutput()
	assert.NoError(t, err, string(out))
	assert.Empty(t, string(out))
}
