// A sample app: Gin, a WebSocket echo at /ws and a slow download at /slow.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/gin-gonic/gin"
)

var release = cmp.Or(os.Getenv("RELEASE"), "-")

func main() {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "Hello from gin, release %s\n", release) })
	router.GET("/health", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	router.GET("/slow", slow)
	router.GET("/ws", echo)
	server := &http.Server{
		Addr:              "127.0.0.1:" + cmp.Or(os.Getenv("PORT"), "5000"),
		Handler:           router,
		ReadHeaderTimeout: 10 * time.Second,
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		log.Fatal(err)
	case <-ctx.Done():
	}
	// What is under way ends by itself; nothing new is taken.
	if err := server.Shutdown(context.Background()); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// slow answers /slow?ms=3000 with one chunk every 100 ms for three seconds.
func slow(c *gin.Context) {
	ms, _ := strconv.Atoi(c.DefaultQuery("ms", "1000"))
	chunks := max(1, (ms+99)/100)
	c.Header("Content-Type", "text/plain; charset=utf-8")
	for i := range chunks {
		select {
		case <-c.Request.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
		fmt.Fprintf(c.Writer, "%s chunk %d of %d\n", release, i+1, chunks)
		c.Writer.Flush()
	}
}

// echo sends back every message of a WebSocket.
func echo(c *gin.Context) {
	conn, err := websocket.Accept(c.Writer, c.Request, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	for {
		kind, data, err := conn.Read(c.Request.Context())
		if err != nil {
			return
		}
		if err := conn.Write(c.Request.Context(), kind, data); err != nil {
			return
		}
	}
}
