package cli

import (
	"bufio"
	"context"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// changePassword asks for the current password and twice for the new one, or
// reads the two as lines of the input, and for a code when the server wants one.
func changePassword(ctx context.Context, p *program, args []string) error {
	tokens, args := toggle(args, "--tokens")
	fromStdin, args := toggle(args, "--stdin", "--password-stdin")
	code, args, err := option(args, "--code")
	if err != nil {
		return err
	}
	args = slices.DeleteFunc(args, func(word string) bool { return word == "--" })
	switch {
	case len(args) == 0 && fromStdin:
		lines := bufio.NewScanner(p.In)
		for len(args) < 2 && lines.Scan() {
			args = append(args, strings.TrimRight(lines.Text(), "\r"))
		}
		if err := lines.Err(); err != nil {
			return err
		}
		if len(args) < 2 {
			return exitf(api.ExitUsage, "The input has two lines: the current password and the new one.")
		}
	case len(args) == 0:
		if args, err = p.askNewPassword(ctx); err != nil {
			return err
		}
	case len(args) == 3 && code == "":
		args, code = args[:2], args[2]
	case len(args) != 2 || fromStdin:
		return exitf(api.ExitUsage, "Say nothing and be asked, or write: hop3 auth password CURRENT NEW [CODE]")
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	words := []string{"auth", "password"}
	if tokens {
		words = append(words, "--tokens")
	}
	words = append(append(words, "--"), args...)
	if code != "" {
		words = append(words, code)
	}
	res, err := c.Call(ctx, words, api.Extra{}, nil)
	if err != nil && code == "" && p.mayAskCode(err) {
		if code, err = p.askLine(ctx, "Code: "); err != nil {
			return err
		}
		res, err = c.Call(ctx, append(words, code), api.Extra{}, nil)
	}
	if err != nil {
		return err
	}
	return p.show(res)
}

// askNewPassword returns the current password and the new one.
func (p *program) askNewPassword(ctx context.Context) ([]string, error) {
	var typed []string
	for _, question := range []string{"Current password: ", "New password: ", "New password again: "} {
		password, err := p.askSecret(ctx, question)
		if err != nil {
			return nil, err
		}
		typed = append(typed, password)
	}
	if typed[1] != typed[2] {
		return nil, exitf(api.ExitUsage, "The new passwords are not the same: nothing was changed.")
	}
	return typed[:2], nil
}

// mayAskCode reports whether a code of the second factor is what a server wants,
// and there is somebody to ask.
func (p *program) mayAskCode(err error) bool {
	return strings.Contains(err.Error(), api.CodeNeeded) && isTerminal(p.In) && !p.flags.noInput
}
