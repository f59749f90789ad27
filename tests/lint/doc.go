// Package lint holds the house rules that are about the tree as a whole, as
// tests: which way imports run, what lies at the top, that every package says
// what it is. It owns nothing, locks nothing and leaves nothing behind.
package lint
