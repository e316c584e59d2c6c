package liveroom_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A message from the server is an event and one to the server is a command, and is named so:
// Join alone could be either. A comment is an event with a name of its own.
func TestMessagesAreNamedEventsAndCommands(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "messages.go", nil, 0)
	require.NoError(t, err)
	incoming := map[string]bool{} // by type
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.Name == "MsgType" {
				if name := n.Recv.List[0].Type.(*ast.Ident).Name; !incoming[name] {
					incoming[name] = false
				}
			}
		case *ast.IndexExpr: // decode[T], in the table of what comes in
			if f, ok := n.X.(*ast.Ident); ok && f.Name == "decode" {
				incoming[n.Index.(*ast.Ident).Name] = true
			}
		}
		return true
	})
	require.Greater(t, len(incoming), 8)
	for name, in := range incoming {
		require.True(t, name == "Comment" || strings.HasSuffix(name, "Event") == in && strings.HasSuffix(name, "Command") != in, name)
	}
}
