package main

import (
	"testing"

	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
)

func TestRecipe(t *testing.T) {
	recipetest.Documented(t, "testing", recipetest.Virtual(t, run))
}
