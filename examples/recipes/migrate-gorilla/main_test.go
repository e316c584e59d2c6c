package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Both programs, the old one too: gorilla can be given the network in memory.
func TestRecipe(t *testing.T) {
	recipetest.Documented(t, "migrate-gorilla", recipetest.Virtual(t, run))
}
