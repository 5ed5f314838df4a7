package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

// client is a program that runs commands.
type client struct {
	name, binary string
	took         map[string][]time.Duration // by command
}

// measureClients times whole command lines, those of all clients in turn.
func measureClients(ctx context.Context, s *subject.Server, o options) error {
	token, err := s.Token(ctx)
	if err != nil {
		return err
	}
	alone, err := buildClient(ctx, s.Dir)
	if err != nil {
		return err
	}
	clients := []*client{{name: "hop3-cli", binary: alone}, {name: "hop3", binary: s.Binary}}
	if o.python != "" {
		clients = append(clients, &client{name: "Python hop3-cli", binary: o.python})
	}
	commands := []string{"version", "app status --app " + subject.AppName(0), "apps"}
	env := append(slices.Clone(s.Env), "HOP3_API_URL="+s.API(), "HOP3_API_TOKEN="+token, "HOP3_NO_INPUT=1", "NO_PROXY=127.0.0.1")
	for round := range o.runs + 2 {
		for _, c := range clients {
			for _, command := range commands {
				cmd := exec.CommandContext(ctx, c.binary, strings.Fields(command)...)
				cmd.Dir, cmd.Env = s.Dir, env
				began := time.Now()
				if out, err := cmd.CombinedOutput(); err != nil {
					return fmt.Errorf("%s %s: %w\n%s", c.name, command, err, out)
				}
				if round < 2 {
					continue // its files were not in memory
				}
				if c.took == nil {
					c.took = map[string][]time.Duration{}
				}
				c.took[command] = append(c.took[command], time.Since(began))
			}
		}
	}
	fmt.Printf("\ncommand lines, %d runs each (load average %s)\n", o.runs, subject.Load())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "median ms (slowest)\t%s\t\n", strings.Join(commands, "\t"))
	for _, c := range clients {
		fmt.Fprint(w, c.name, "\t")
		for _, command := range commands {
			fmt.Fprintf(w, "%.1f (%.1f)\t", ms(subject.Median(c.took[command])), ms(slices.Max(c.took[command])))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	for _, command := range commands[1:] {
		took := subject.Median(clients[0].took[command])
		subject.Verdict("ms from start to answer of hop3-cli "+strings.Fields(command)[0], ms(took), "<=", 60)
		for _, other := range clients[1:] {
			fmt.Printf("hop3-cli / %s: %.2f\n", other.name, float64(took)/float64(subject.Median(other.took[command])))
		}
	}
	return nil
}
