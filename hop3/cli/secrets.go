package cli

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// withPassword are the commands whose last argument is a password, and how
// many arguments come before it. It is better not typed where others see it.
var withPassword = map[string]int{"auth get-token": 1, "user add": 2, "user set-password": 1, "http basic-auth add": 1}

// fillIn replaces --password-file, --stdin and a missing password by the
// password, and the file of `key add` by what is in it.
func (p *program) fillIn(ctx context.Context, words []string) ([]string, error) {
	if len(words) >= 2 && words[0] == "key" && words[1] == "add" {
		return p.fillInKey(words)
	}
	if len(words) >= 2 && words[0] == "app" && words[1] == "move" {
		return p.fillInMove(ctx, words)
	}
	if len(words) >= 2 && words[0] == "cert" && words[1] == "add" {
		return p.fillInFiles(words)
	}
	name, n := matchPassword(words)
	if n == 0 || slices.Contains(words, "--generate") {
		return words, nil
	}
	before := withPassword[name]
	file, rest, err := option(words, "--password-file")
	if err != nil {
		return nil, err
	}
	fromStdin, rest := toggle(rest, "--stdin", "--password-stdin")
	if fromStdin {
		file = "-"
	}
	if file == "" && positionals(rest[n:]) != before {
		return rest, nil
	}
	password, err := p.password(ctx, file)
	if err != nil {
		return nil, err
	}
	return append(rest, password), nil
}

// matchPassword returns the command of withPassword that words begin with, and
// how many words it has; 0 for none.
func matchPassword(words []string) (string, int) {
	names := map[string]bool{}
	for name := range withPassword {
		names[name] = true
	}
	return match(names, words)
}

func positionals(words []string) int {
	n := 0
	for i, w := range words {
		if !strings.HasPrefix(w, "-") && (i == 0 || words[i-1] != "--app") {
			n++
		}
	}
	return n
}

// password reads a password from a file, from the input ("-"), or from the
// person at the terminal ("").
func (p *program) password(ctx context.Context, file string) (string, error) {
	switch file {
	case "":
		return p.askPassword(ctx)
	case "-":
		return readLine(p.In), nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", exitf(api.ExitUsage, "%v", err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	return strings.TrimRight(line, "\r"), nil
}

// fillInFiles replaces the files of `cert add` by what is in them.
func (p *program) fillInFiles(words []string) ([]string, error) {
	app, args, err := option(words[2:], "--app")
	if err != nil {
		return nil, err
	}
	out := []string{"cert", "add", "--app", app, "--"}
	for _, file := range args {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, exitf(api.ExitUsage, "%v", err)
		}
		out = append(out, string(content))
	}
	return out, nil
}

// fillInKey lets `key add` take a file, or "-" for the input; `key add USER
// FILE` is how it is written on the server's host.
func (p *program) fillInKey(words []string) ([]string, error) {
	user, args, err := option(words[2:], "--user")
	if err != nil {
		return nil, err
	}
	if len(args) == 2 && user == "" && isFile(args[1]) {
		user, args = args[0], args[1:]
	}
	if len(args) == 1 && (args[0] == "-" || isFile(args[0])) {
		content, err := p.readKey(args[0])
		if err != nil {
			return nil, err
		}
		args = []string{content}
	}
	out := append([]string{"key", "add"}, args...)
	if user != "" {
		out = append(out, "--user", user)
	}
	return out, nil
}

func (p *program) readKey(file string) (string, error) {
	const most = 64 << 10
	in := p.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", exitf(api.ExitUsage, "%v", err)
		}
		defer f.Close()
		in = f
	}
	content, err := io.ReadAll(io.LimitReader(in, most))
	if err == nil && strings.Contains(string(content), "PRIVATE KEY") {
		err = exitf(api.ExitUsage, "%s is a private key: keep it to yourself, and give the .pub file.", file)
	}
	return strings.TrimSpace(string(content)), err
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
