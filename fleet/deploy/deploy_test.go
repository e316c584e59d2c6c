package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// drain is the worker's default of -drain, in seconds.
const drain = 25

// The manifests have no field that Kubernetes does not know, and give a worker time to
// hand its rooms over.
func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile("kubernetes/worker.yaml")
	require.NoError(t, err)
	parts := bytes.Split(text, []byte("\n---\n"))
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
	assert.Greater(t, *pod.Spec.TerminationGracePeriodSeconds, int64(drain+5))
	c := pod.Spec.Containers[0]
	assert.Equal(t, "/health/ready", c.ReadinessProbe.HTTPGet.Path)
	assert.Equal(t, "/health/live", c.LivenessProbe.HTTPGet.Path)
	assert.Contains(t, c.Args, "-listen=:8080")
	assert.Equal(t, int32(8080), c.Ports[0].ContainerPort)

	text, err = os.ReadFile("kubernetes/nats-values.yaml")
	require.NoError(t, err)
	var values map[string]any
	require.NoError(t, yaml.UnmarshalStrict(text, &values))
}

// systemd itself finds nothing wrong with the unit.
func TestSystemd(t *testing.T) {
	text, err := os.ReadFile("systemd/wechatws-worker@.service")
	require.NoError(t, err)
	assert.Contains(t, string(text), "TimeoutStopSec=40")
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	// It looks for the program, which is not installed here.
	unit := filepath.Join(t.TempDir(), "wechatws-worker@1.service")
	installed := strings.Replace(string(text), "/usr/local/bin/wechatws-worker", "/bin/true", 1)
	require.NoError(t, os.WriteFile(unit, []byte(installed), 0o600))
	out, err := exec.Command(analyze, "verify", unit).CombinedOutput()
	assert.NoError(t, err, string(out))
	assert.Empty(t, string(out))
}
