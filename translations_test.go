package wechatws_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The links between a page and its translation.
var (
	toChinese = regexp.MustCompile(`\[简体中文\]\(([^)]*)\)`)
	toEnglish = regexp.MustCompile(`\[English\]\(([^)]*)\)`)
)

// The Chinese pages have the headings and the code of the English ones. A page ends with a hash
// of what it was translated from.
func TestChinesePagesFollowTheEnglishOnes(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	translated := 0
	for _, name := range append(pages, "README.md") {
		english := read(t, name)
		link := toChinese.FindStringSubmatch(english)
		if link == nil {
			continue
		}
		translated++
		translation := filepath.Join(filepath.Dir(name), link[1])
		chinese := read(t, translation)
		if *update {
			chinese = stamp.ReplaceAllString(chinese, stampOf(english))
			require.NoError(t, os.WriteFile(translation, []byte(chinese), 0o644))
		}
		for _, difference := range outdated(english, chinese) {
			t.Errorf("%s: %s", translation, difference)
		}
		back := toEnglish.FindStringSubmatch(chinese)
		require.NotNil(t, back, translation)
		assert.Equal(t, name, filepath.Join(filepath.Dir(translation), back[1]), translation)
	}
	chinese, err := filepath.Glob("docs/zh-CN/*.md")
	require.NoError(t, err)
	assert.Equal(t, len(chinese)+1, translated, "a page in docs/zh-CN has no English page with a link to it")
}

func TestOutdatedTranslationsAreFound(t *testing.T) {
	t.Parallel()
	const english = "# How?\n\n## When?\n\n```go\nx := f(\"a\") // why\n```\n\n```sh\ngo test . # all\n```\n\n```\n-- open\n```\n"
	chinese := "# 怎样？\n\n## 何时？\n\n```go\n// 原因\nx := f(\"a\")\n```\n\n```sh\ngo test . # 全部\n```\n\n```\n-- open\n```\n" + stampOf(english)
	require.Empty(t, outdated(english, chinese))
	for _, change := range []struct{ from, to, found string }{
		{"## When?", "## Where?", "has changed"},
		{"// why", "// not", "has changed"},
		{"# all", "# most", "has changed"},
		{"## When?", "### When?", "heading 2"},
		{"## When?\n", "", "headings"},
		{"## When?\n", "## When?\n\n## Where?\n", "headings"},
		{"f(\"a\")", "g(\"a\")", "block 1"},
		{"f(\"a\")", "f(\"b\")", "block 1"},
		{"go test .", "go vet .", "block 2"},
		{"-- open", "-- closed", "block 3"},
		{"```go", "```", "block 1"},
		{"\n```\n-- open\n```\n", "", "blocks"},
	} {
		changed := strings.Replace(english, change.from, change.to, 1)
		require.NotEqual(t, english, changed)
		assert.Contains(t, strings.Join(outdated(changed, chinese), "\n"), change.found, "%q", change.to)
	}
}

// Chinese text has full-width punctuation, and a space on both sides of Latin words and numbers.
func TestChinesePunctuation(t *testing.T) {
	pages, err := filepath.Glob("docs/zh-CN/*.md")
	require.NoError(t, err)
	for _, name := range append(pages, "README.zh-CN.md") {
		for _, found := range mispunctuated(read(t, name)) {
			t.Errorf("%s: %s", name, found)
		}
	}
}

func TestMispunctuatedTextIsFound(t *testing.T) {
	t.Parallel()
	for _, right := range []string{
		"断线后等待 3 秒，再用 `Send` 发送（见[示例](a.md)）。", "```\n连接,断开\n```", "**保持连接。** 从 Go 开始：`a,b`", "| 心跳 | 3 s |",
	} {
		assert.Empty(t, mispunctuated(right), right)
	}
	for _, wrong := range []string{"连接,断开", "连接断开.", "等待3 秒", "等待 3秒", "用`Send`发送", "见 [示例](a.md)(英文)", "用[Go](a.md) 写"} {
		assert.NotEmpty(t, mispunctuated(wrong), wrong)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

var stamp = regexp.MustCompile(`<!-- translated from [0-9a-f]* -->`)

// stampOf returns a hash of an English page's headings, and of its code with the comments.
func stampOf(english string) string {
	headings, blocks := parts(english)
	sum := sha256.Sum256([]byte(strings.Join(append(headings, blocks...), "\n")))
	return fmt.Sprintf("<!-- translated from %x -->", sum[:4])
}

// outdated returns how the headings and the code of a translation differ from the English page.
func outdated(english, chinese string) (differences []string) {
	differ := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }
	headings, blocks := parts(english)
	titles, code := parts(chinese)
	if len(headings) != len(titles) {
		differ("%d headings, %d in English", len(titles), len(headings))
	}
	for i := range min(len(headings), len(titles)) {
		if level(headings[i]) != level(titles[i]) {
			differ("heading %d is %q, in English %q", i+1, titles[i], headings[i])
		}
	}
	if len(blocks) != len(code) {
		differ("%d code blocks, %d in English", len(code), len(blocks))
	}
	for i := range min(len(blocks), len(code)) {
		if uncommented(blocks[i]) != uncommented(code[i]) {
			differ("code block %d is, but for its comments, not that of the English page:\n%s", i+1, blocks[i])
		}
	}
	if want := stampOf(english); stamp.FindString(chinese) != want {
		differ("a heading or a comment in the code has changed in English: translate it, and write %s (or go test -run TestChinesePages . -update)", want)
	}
	return differences
}

func level(heading string) int { return strings.IndexByte(heading, ' ') }

var shellComment = regexp.MustCompile(`(?m)\s*(^|\s)#.*$`)

// parts returns the headings of a page and its blocks of code, each with its opening fence.
func parts(page string) (headings, blocks []string) {
	var block *strings.Builder
	for line := range strings.Lines(page) {
		switch fence := strings.HasPrefix(strings.TrimSpace(line), "```"); {
		case fence && block == nil:
			block = &strings.Builder{}
			block.WriteString(line)
		case fence:
			blocks = append(blocks, block.String())
			block = nil
		case block != nil:
			block.WriteString(line)
		case strings.HasPrefix(line, "#"):
			headings = append(headings, strings.TrimSpace(line))
		}
	}
	return headings, blocks
}

// uncommented returns a block without its comments.
func uncommented(block string) string {
	fence, code, _ := strings.Cut(block, "\n")
	switch strings.TrimSpace(fence) {
	case "```go":
		return fence + "\n" + tokens([]byte(code))
	case "```sh":
		return fence + "\n" + strings.TrimSpace(shellComment.ReplaceAllString(code, ""))
	}
	return block
}

var (
	notText = regexp.MustCompile("(?ms)^ *```.*?^ *```$|<[^>]*>") // blocks of code, HTML
	inline  = regexp.MustCompile("`[^`]*`")
	linked  = regexp.MustCompile(`!?\[([^]]*)\]\([^)]*\)`)
	wrong   = regexp.MustCompile(`.?.?(?:\p{Han}[,.:;!?()]|[,:;!?()]\p{Han}|\p{Han}[A-Za-z0-9]|[A-Za-z0-9]\p{Han}).?.?`)
)

// mispunctuated returns the places of a page where Chinese characters stand right beside
// half-width punctuation, Latin letters or digits.
func mispunctuated(page string) []string {
	text := notText.ReplaceAllString(page, "")
	text = inline.ReplaceAllString(text, "x")
	text = linked.ReplaceAllString(text, "$1")
	return wrong.FindAllString(strings.ReplaceAll(text, "*", ""), -1)
}
