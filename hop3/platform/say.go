package platform

import (
	"fmt"
	"time"

	"github.com/abilian/hop3/hop3"
)

// say tells the person who waits one line.
func say(out hop3.Output, format string, args ...any) {
	tell(out, 1, "", format, args...)
}

func tell(out hop3.Output, level int, color, format string, args ...any) {
	if out == nil {
		return
	}
	out.Log(hop3.LogLine{Text: fmt.Sprintf(format, args...), Level: level, Color: color, Time: time.Now()})
}

// tellOnce tells a secret: it is shown, and kept nowhere.
func tellOnce(out hop3.Output, color, format string, args ...any) {
	if out != nil {
		out.Log(hop3.LogLine{Text: fmt.Sprintf(format, args...), Color: color, Time: time.Now(), Once: true})
	}
}
