(defproject hello "1.0"
  :description "A sample app: HTTP with what Java has itself."
  :license {:name "Apache-2.0"}
  :dependencies [[org.clojure/clojure "1.11.1"]]
  :main hello.core
  :profiles {:uberjar {:aot :all}})
