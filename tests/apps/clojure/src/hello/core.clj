(ns hello.core
  (:gen-class)
  (:import (com.sun.net.httpserver HttpHandler HttpServer)
           (java.net InetSocketAddress)))

(defn env [key default] (or (System/getenv key) default))

(defn answer [exchange]
  (let [text (.getBytes (str "Hello from clojure, release " (env "RELEASE" "-") "\n") "UTF-8")]
    (.sendResponseHeaders exchange 200 (count text))
    (.write (.getResponseBody exchange) text)
    (.close exchange)))

(defn -main [& _]
  (let [address (InetSocketAddress. (env "BIND_ADDRESS" "127.0.0.1") (parse-long (env "PORT" "5000")))]
    (doto (HttpServer/create address 0)
      (.createContext "/" (reify HttpHandler (handle [_ exchange] (answer exchange))))
      (.start))))
