/** What pages of the tests load: their global variable `polaris`. */
export * from "@polaris-cvm/sdk";
export * from "@polaris-cvm/sdk/axios";
export { create as createAxios, isAxiosError } from "axios";
