package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/abilian/hop3/hop3/api"
)

// ask shows a question and reads a line. Ctrl-C ends the wait: the goroutine
// that still reads ends with the program.
func (p *program) ask(ctx context.Context, question string, read func() (string, error)) (string, error) {
	fmt.Fprint(p.Err, question)
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := read()
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		return a.text, a.err
	case <-ctx.Done():
		fmt.Fprintln(p.Err)
		return "", ctx.Err()
	}
}

// askLine asks for a line that may be seen.
func (p *program) askLine(ctx context.Context, question string) (string, error) {
	return p.ask(ctx, question, func() (string, error) { return readLine(p.In), nil })
}

// askPassword asks for a password.
func (p *program) askPassword(ctx context.Context) (string, error) {
	return p.askSecret(ctx, "Password: ")
}

// askSecret asks for a line that may not be seen.
func (p *program) askSecret(ctx context.Context, question string) (string, error) {
	in, ok := p.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) || p.flags.noInput {
		return "", exitf(api.ExitUsage, "A password is needed: give --password-stdin or --password-file FILE.")
	}
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(fd, before) }() // the terminal is gone, or shows what is typed again
	return p.ask(ctx, question, func() (string, error) {
		typed, err := term.ReadPassword(fd)
		fmt.Fprintln(p.Err)
		return string(typed), err
	})
}

// readLine reads one line, "" at the end of the input.
func readLine(in io.Reader) string {
	line, _ := bufio.NewReader(in).ReadString('\n') // the end of the input is an empty answer
	return strings.TrimSpace(line)
}
