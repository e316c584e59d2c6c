// Package standin is a server process that stands in for a backend: a live room, or a server that
// answers nothing or everything. It shows what it receives as lines, and makes faults by command, from
// keys, lines of input and HTTP.
package standin
