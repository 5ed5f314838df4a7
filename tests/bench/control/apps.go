package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

// measureApps times `apps`, and `version` in turn with it, over one connection.
func measureApps(ctx context.Context, s *subject.Server, o options) error {
	token, err := s.Token(ctx)
	if err != nil {
		return err
	}
	if err := waitForProcesses(ctx, s, token, o.processes); err != nil {
		return err
	}
	took := map[string][]time.Duration{}
	for i := range o.calls + 20 {
		for _, command := range []string{"apps", "version"} {
			began := time.Now()
			answer, err := call(ctx, s, token, command)
			if err != nil {
				return err
			}
			if i >= 20 {
				took[command] = append(took[command], time.Since(began))
			}
			rows, err := tableOf(answer)
			if err != nil {
				return err
			}
			if command == "apps" && len(rows) != o.apps {
				return fmt.Errorf("apps lists %d apps of %d", len(rows), o.apps)
			}
		}
	}
	fmt.Printf("`apps` with %d apps, %d with a process, %d calls (load average %s)\n", o.apps, o.processes, o.calls, subject.Load())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "ms\tp50\tp99\tmost\t")
	for _, command := range []string{"apps", "version"} {
		slices.Sort(took[command])
		t := took[command]
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t\n", command, ms(percentile(t, 50)), ms(percentile(t, 99)), ms(t[len(t)-1]))
	}
	w.Flush()
	subject.Verdict("p99 of apps, ms", ms(percentile(took["apps"], 99)), "<=", 10)
	fmt.Printf("p50 of apps / p50 of version: %.1f\n", float64(percentile(took["apps"], 50))/float64(percentile(took["version"], 50)))
	return nil
}

// percentile returns that of sorted times.
func percentile(times []time.Duration, p int) time.Duration { return times[len(times)*p/100] }

// waitForProcesses waits until the server has started all it has to.
func waitForProcesses(ctx context.Context, s *subject.Server, token string, want int) error {
	for {
		answer, err := call(ctx, s, token, "apps")
		if err != nil {
			return err
		}
		rows, err := tableOf(answer)
		if err != nil {
			return err
		}
		running := 0
		for _, row := range rows {
			if n, ok := row[2].(float64); ok {
				running += int(n)
			}
		}
		if running >= want {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// call runs a command and returns the answer as it came.
func call(ctx context.Context, s *subject.Server, token, command string) ([]byte, error) {
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":"cli","params":{"cli_args":[%q]}}`, command)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.API()+"/rpc", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// tableOf returns the rows of the table in an answer, none when it has none.
func tableOf(text []byte) ([][]any, error) {
	var answer struct {
		Error  *struct{ Message string }
		Result []struct{ Rows [][]any }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, errors.New(answer.Error.Message)
	}
	if len(answer.Result) == 0 {
		return nil, nil
	}
	return answer.Result[0].Rows, nil
}
