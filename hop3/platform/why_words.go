package platform

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// summary says which request failed, and how.
func summary(f hop3.Failure) string {
	how := fmt.Sprintf("was answered with status %d", f.Status)
	if f.Status == 0 {
		how = "got an answer that broke off"
	}
	release := ""
	if f.Release != 0 {
		release = fmt.Sprintf(" (release v%d)", f.Release)
	}
	return fmt.Sprintf("%s %s of %s, asked for by %s, %s by app '%s'%s at %s UTC, after %s.",
		f.Method, f.Path, f.Host, f.Client, how, f.App, release, f.Time.UTC().Format("2006-01-02 15:04:05"), howLong(f.Took))
}

// reason says what kept the app from answering.
func reason(f hop3.Failure, instance string) string {
	who := cmp.Or(instance, "The instance")
	detail := ""
	if f.Detail != "" {
		detail = " (" + f.Detail + ")"
	}
	switch f.Cause {
	case hop3.FailureRefused:
		return who + " refused the connection: nothing listened at its address" + detail + "."
	case hop3.FailureUnreachable:
		return who + " could not be reached" + detail + "."
	case hop3.FailureConnectSlow:
		return who + " did not accept the connection in time" + detail + "."
	case hop3.FailureSlow:
		return who + " took the request, and did not begin its answer in time" + detail + "."
	case hop3.FailureReset:
		return who + " took the request, and closed the connection before it answered" + detail + "."
	case hop3.FailureProtocol:
		return "What " + cmp.Or(instance, "the instance") + " answered is not valid HTTP" + detail + "."
	case hop3.FailureCut:
		return who + " began its answer, and ended it before it was whole: it closed the connection, or sent what is not valid HTTP."
	case hop3.FailureNoInstance:
		return "No instance was there to be asked" + detail + "."
	case hop3.FailureStopped:
		return "The app was stopped by a user."
	case hop3.FailureNotStarted:
		return "No instance ran: the release could not be started."
	case hop3.FailureNoWeb:
		return "The app has no process that answers HTTP, or has not been deployed yet."
	case hop3.FailureAsleep:
		return "The app was asleep, and requests of this kind (health checks, certificate challenges) wake nobody."
	case hop3.FailureWake:
		if f.Detail == "" {
			return "The app was asleep. An attempt to wake it had just failed, and the next one was not due yet."
		}
		return "The app was asleep and failed to wake: " + sentence(f.Detail)
	case hop3.FailureWakeSlow:
		return "The app was asleep. The request was held until its deadline, and the app was not ready by then."
	case hop3.FailureWakeQueue:
		return "The app was asleep, and as many requests as may wait for it to wake up did so already."
	case hop3.FailureMaintenance:
		return "The app is closed to visitors for maintenance."
	}
	return "The request could not be passed on" + detail + "."
}

// exitSentence tells of the instance's end.
func exitSentence(f hop3.Failure, instance string, exit hop3.Exit) string {
	apart, when := f.Time.Sub(exit.At), "when the request failed"
	switch {
	case apart > time.Second:
		when = howLong(apart) + " before the request failed"
	case apart < -time.Second:
		when = howLong(-apart) + " after the request failed"
	}
	return fmt.Sprintf("%s ended at %s, %s: %s", instance, clock(exit.At), when, sentence(exit.How+exitMeaning(exit.How)))
}

// exitMeaning explains the exit statuses that shells make of signals.
func exitMeaning(how string) string {
	switch how {
	case "exit status 137":
		return " (killed by signal 9)"
	case "exit status 139":
		return " (a segmentation fault)"
	case "exit status 143":
		return " (ended by signal 15)"
	case "exit status 126":
		return " (its command is not executable)"
	case "exit status 127":
		return " (its command was not found)"
	case "signal: killed":
		return " (by signal 9: by hand, or because the machine ran out of memory)"
	}
	return ""
}

// hint says what to do next.
func hint(e Explanation) string {
	app := " --app " + e.Failure.App
	switch {
	case e.Exit != nil && outOfMemory(*e.Exit):
		return "Raise `memory` in [limits] of hop3.toml, or have the app take less."
	case e.Exit != nil:
		return "See what it wrote before it ended: `hop3 logs" + app + "`."
	}
	switch e.Failure.Cause {
	case hop3.FailureStopped:
		return "Start it again: `hop3 app start" + app + "`."
	case hop3.FailureMaintenance:
		return "Open it again: `hop3 maintenance off" + app + "`."
	case hop3.FailureNotStarted, hop3.FailureWake, hop3.FailureWakeSlow:
		return "See why it does not start: `hop3 app status" + app + "` and `hop3 logs" + app + "`."
	case hop3.FailureNoWeb:
		return "See its processes: `hop3 ps" + app + "`."
	case hop3.FailureSlow:
		return "If it needs this long, raise `timeout` in [http] of hop3.toml, or do the work in a worker process."
	case hop3.FailureRefused, hop3.FailureConnectSlow, hop3.FailureUnreachable:
		return "The app has to listen on $PORT of 127.0.0.1 as long as it runs: `hop3 app status" + app + "`."
	}
	return "See what the app wrote: `hop3 logs" + app + "`."
}

// CauseWords is a cause as a cell of a table.
func CauseWords(f hop3.Failure) string {
	switch f.Cause {
	case hop3.FailureWake, hop3.FailureNoInstance, hop3.FailureOther:
		if f.Detail != "" {
			return string(f.Cause) + ": " + f.Detail
		}
	}
	return string(f.Cause)
}

// sentence ends a text with a full stop.
func sentence(text string) string {
	text = strings.TrimSpace(plainLine(text))
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "!") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// howLong writes a duration with as much precision as it has meaning.
func howLong(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
