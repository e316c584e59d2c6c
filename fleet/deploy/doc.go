// Package deploy is an example of how workers are deployed, for systemd and for Kubernetes.
// There is nothing to import: the files and the program worker are for copying, and the tests check them.
package deploy
